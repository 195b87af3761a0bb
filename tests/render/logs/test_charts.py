"""The plots of the log report: what they leave out, how they scale, and that empty reports have none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

from why502.logs.scan.report import Burst, CauseRow, Minute, Report, TargetRow, Times
from why502.render.logs.charts import by_target, by_time, over_time

AT = datetime(2026, 11, 21, 1, 0, tzinfo=UTC)
TIMES = Times(count=9, p50_s=0.04, p90_s=0.1, p95_s=0.2, p99_s=40.0, max_s=60.0)


def minutes(count: int) -> tuple[Minute, ...]:
    return tuple(Minute(at=AT + timedelta(minutes=n), requests=9, failures=3, symptoms={"a": 1, "b": 1}) for n in range(count))


def test_many_minutes_are_summed_up_and_no_failure_is_lost() -> None:
    whole = ElementTree.fromstring(over_time(Report(minutes=minutes(1000), causes=(CauseRow(symptom="a", cause="why"),))))
    tips = [tip.text or "" for tip in whole.iter("title")]
    counts = [sum(int(part.split()[0]) for part in tip.split(": ")[1].split(", ")) for tip in tips]
    assert len(tips) <= 120 and sum(counts) == 3000
    assert all("why" in tip and "no known symptom" in tip for tip in tips)


def test_bursts_are_marked_where_they_were() -> None:
    burst = Burst(
        start=AT + timedelta(minutes=2), end=AT + timedelta(minutes=5), peak_at=AT, peak=3, failures=9, requests=9, usual=0
    )
    whole = ElementTree.fromstring(over_time(Report(minutes=minutes(10), bursts=(burst,))))
    marked = whole.findall("./svg/g/rect")[0]
    assert (marked.get("x"), marked.get("width")) == ("2.000", "3.000")


def test_a_target_has_a_line_with_its_failures_and_what_a_retry_recovered() -> None:
    targets = (TargetRow(target="a", attempts=100, failures=20, recovered=5), TargetRow(target="b", attempts=10))
    whole = ElementTree.fromstring(by_target(Report(targets=targets)))
    assert [lane.findtext("span") for lane in whole.findall("./ol/li")] == ["a", "b"]
    assert "20.00 % of attempts failed, 5.00 % recovered" in (whole.findtext("./ol/li/svg/title") or "")
    assert [box.get("width") for box in whole.findall("./ol/li/svg/rect")][:2] == ["75.00", "25.00"]


def test_times_and_timeouts_share_a_logarithmic_scale() -> None:
    targets = (TargetRow(target="a", attempts=1, response=TIMES, read_timeout_s=60.0, longest_read_timeout_s=100.0),)
    whole = ElementTree.fromstring(by_time(Report(targets=targets)))
    assert [text.text for text in whole.findall("./div/span")] == ["0.01 s", "0.1 s", "1 s", "10 s", "100 s"]
    *_, first, last = whole.findall("./ol/li/svg/rect")
    assert float(first.get("x", "")) < float(last.get("x", "")) == 99.75
    nothing = Times(count=1, p50_s=0, p90_s=0, p95_s=0, p99_s=0, max_s=0)
    assert by_time(Report(targets=(TargetRow(target="a", attempts=1, response=nothing),))), "a log whose times are all 0.000"


def test_where_nothing_failed_or_nothing_is_known_there_is_no_plot() -> None:
    quiet = Report(minutes=(Minute(at=AT, requests=3),), targets=(TargetRow(target="a", attempts=3), TargetRow(target="b")))
    assert (over_time(quiet), by_target(quiet), by_time(quiet)) == ("", "", "")
