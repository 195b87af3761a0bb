"""A thread that says nothing for too long is named; one that has ended is not."""

from why502.watch.progress import Progress


def test_a_late_thread_is_named():
    now = [100.0]
    beats = Progress(clock=lambda: now[0])
    beats.beat("outbox", within_s=10)
    beats.beat("checks")
    now[0] += 11
    assert beats.late() == ("outbox",)
    beats.beat("outbox", within_s=10)
    assert beats.late() == ()


def test_only_work_that_goes_on_is_waited_for():
    now = [0.0]
    beats = Progress(clock=lambda: now[0])
    with beats.busy("diagnosis", 30):
        now[0] += 31
        assert beats.late() == ("diagnosis",)
    now[0] += 1000
    assert beats.late() == ()


def test_what_hangs_on_a_file_of_others_is_late_but_no_restart_helps():
    now = [0.0]
    beats = Progress(clock=lambda: now[0])
    beats.beat("limits disks", 10, is_curable=False)
    beats.beat("checks", 10)
    now[0] += 11
    assert beats.late() == ("checks", "limits disks")
    assert beats.curable() == ("checks",)
    beats.beat("limits disks", 0.0)  # it died: a restart brings it back
    now[0] += 1
    assert beats.curable() == ("checks", "limits disks")
