"""The log report in all its forms: complete, escaped, self-contained; the page is drawn by a real browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from why502.logs.scan.report import Burst, CauseRow, File, Minute, Report, Row, TargetRow, Times
from why502.render.logs import html, prometheus, text
from why502.render.logs import json as json_
from why502.render.words import Terminal

AT = datetime(2026, 11, 20, 10, tzinfo=UTC)
EVIL = '</script><script>document.title="evil"</script>\x1b[31m"\'\u202e'
TIMES = Times(count=9, p50_s=0.04, p90_s=0.1, p95_s=0.2, p99_s=40.0, max_s=60.0)
CHROMIUM = shutil.which("chromium")


def report() -> Report:
    """Return a report with hostile text everywhere."""
    return Report(
        files=(File(path=f"/var/log/{EVIL}", format="nginx access", format_source="its content", lines=1000),),
        first=AT,
        last=AT + timedelta(minutes=59),
        lines=1000,
        unparsed=1,
        unparsed_first=((f"{EVIL}:1", EVIL),),
        requests=999,
        failures=60,
        recovered_requests=3,
        recovered_attempts=4,
        by_status={"200": 939, "502": 60},
        minutes=tuple(
            Minute(at=AT + timedelta(minutes=n), requests=16, failures=1, statuses={"502": 1}, symptoms={"read-timed-out": 1})
            for n in range(60)
        ),
        bursts=(
            Burst(
                start=AT,
                end=AT + timedelta(minutes=3),
                peak_at=AT,
                peak=9,
                failures=20,
                requests=48,
                usual=1,
                changed=(f"route {EVIL}",),
            ),
        ),
        causes=(
            CauseRow(
                symptom="read-timed-out",
                cause="backend-too-slow",
                message="slow",
                fault_domain="app",
                count=60,
                targets={EVIL: 60},
                place=EVIL,
                text=EVIL,
            ),
        ),
        targets=(
            TargetRow(
                target=EVIL,
                attempts=500,
                failures=55,
                recovered=4,
                response=TIMES,
                read_timeout_s=60.0,
                is_bad=True,
                others_share=0.01,
            ),
            TargetRow(target="10.0.0.2:80", attempts=499, failures=5, response=TIMES),
        ),
        routes=(Row(name=f"GET /{EVIL}", requests=99, failures=9, statuses={"502": 9}, times=TIMES),),
        servers=(Row(name=EVIL, requests=9), Row(name="b", requests=1)),
        clients=(Row(name=EVIL, requests=9, failures=1),),
        has_upstream_fields=True,
        time_error=1 / 128,
    )


@pytest.mark.parametrize("renderer", [text.render, json_.render, prometheus.render, html.render])
def test_no_text_of_a_log_controls_the_output(renderer: object) -> None:
    shown = renderer(report(), Terminal())  # type: ignore[operator]
    assert "\x1b" not in shown
    assert "<script>document.title" not in shown or renderer is not html.render
    if renderer is not json_.render:
        assert "\u202e" not in shown or renderer is prometheus.render


def test_json_is_complete() -> None:
    found = json.loads(json_.render(report(), Terminal()))
    assert found["schema"] == "why502.logs/1"
    assert (found["requests"], found["failures"], found["recovered"]) == (999, 60, {"requests": 3, "attempts": 4})
    assert found["targets"][0]["bad"] is True
    assert found["targets"][0]["response"]["p99_s"] == 40.0
    assert len(found["minutes"]) == 60


@pytest.mark.parametrize("by", ["status", "route", "server", "target", "cause", "client", "minute", "hour", "method", "attempts"])
def test_each_table_has_its_rows(by: str) -> None:
    found = json.loads(json_.render(report(), Terminal(), by=by))
    assert found["by"] == by
    assert found["rows"] or by == "attempts"
    assert text.render(report(), Terminal(), by=by)


def test_metrics_are_well_formed() -> None:
    shown = prometheus.render(report(), Terminal())
    sample = re.compile(r'why502_logs_\w+(?:\{(?:\w+="(?:[^"\\\n]|\\.)*",?)*\})? [\d.e+-]+')
    for line in shown.splitlines():
        assert line.startswith("# ") or sample.fullmatch(line), line
    assert 'why502_logs_requests{status="502"} 60' in shown


@pytest.mark.real
@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is not installed")
def test_prometheus_accepts_the_metrics() -> None:
    shown = prometheus.render(report(), Terminal())
    done = subprocess.run(["promtool", "check", "metrics"], input=shown, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_partial_report_is_marked() -> None:
    import msgspec

    partial = msgspec.structs.replace(report(), is_partial=True)
    assert text.render(partial, Terminal()).startswith("PARTIAL")
    assert json.loads(json_.render(partial, Terminal()))["partial"] is True
    assert "Partial:" in html.render(partial, Terminal())


def test_the_page_holds_everything_itself() -> None:
    page = html.render(report(), Terminal())
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", page)
    assert "@import" not in page
    assert "url(" not in page
    assert "default-src 'none'" in page and "<script" not in page.replace(EVIL, "")


@pytest.mark.real
@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "dark")])
def test_a_browser_draws_the_plots(tmp_path: Path, width: int, scheme: str) -> None:
    page = tmp_path / "report.html"
    page.write_text(html.render(report(), Terminal()))
    common = [
        *(
            str(CHROMIUM),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path}/profile",
            "--virtual-time-budget=5000",
        ),
        *(f"--window-size={width},900", *(["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else [])),
    ]
    shown = subprocess.run([*common, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=120, check=True).stdout
    assert shown.count("<figure") == 3
    assert "<title>evil" not in shown
    picture = tmp_path / "page.png"
    subprocess.run([*common, f"--screenshot={picture}", page.as_uri()], capture_output=True, timeout=120, check=True)
    assert picture.stat().st_size > 20_000
