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
