"""Each alert on promtool: it fires on its fault, not just below it, not with too little traffic, and survives restarts."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from why502.generate.observability.rules import BURN_RATES, manifest, objective_of, rules
from why502.model.errors import Why502Error

Labels = dict[str, str]
ON: Labels = {"instance": "web1:9502", "job": "why502"}
HOST: Labels = {"host": "web1"}
SHOP = ON | {"proxy": "nginx", "location": "shop.example/"}
APP = ON | {"proxy": "nginx", "target": "10.0.0.1:80"}
GROUP = ON | {"proxy": "nginx", "group": "app"}
ACCESS = ON | {"log": "/var/log/nginx/access.log", "kind": "access"}
INCIDENT = ON | {"cause": "port-conflict", "fault_domain": "upstream", "target": "10.0.0.1:80", "severity": "page"}
MEMORY = ON | {"limit": "memory", "subject": "app.service"}
QUEUE = ON | {"limit": "listen_queue", "subject": "10.0.0.1:80"}
CERTIFICATE = ON | {"role": "front", "name": "/etc/ssl/shop.pem"}
PAGER = ON | {"receiver": "pager"}
HOSTILE = 'x"}) or vector(1) # \\ {{ .Value }} <script>alert(1)</script> <!channel>'
EXPECTED = Path(__file__).with_name("alerts.yml")


def series(name: str, labels: Labels, **more: str) -> str:
    """Return a series in Prometheus's notation."""
    return name + "{" + ", ".join(f"{key}={json.dumps(value)}" for key, value in (labels | more).items()) + "}"


BUILD = {series("why502_build_info", ON, host="web1", version="0.1.0"): "1x6000"}
OTHER_HOST = {series("why502_build_info", {"instance": "web2:9502", "job": "why502"}, host="web2", version="0.1.0"): "1x6000"}


@dataclass
class Case:
    """Series, and the labels of the alert that fires at a time; None if none fires. `severity`: of that alert."""

    name: str
    at: str
    given: dict[str, str]
    fires: Labels | None = None
    severity: str = "page"
    every: str = "1m"
    build: dict[str, str] = field(default_factory=lambda: BUILD)


def requests(good: str, bad: str, code: str = "502") -> dict[str, str]:
    failures = {} if code == "499" else {series("why502_failures_total", SHOP, symptom="connect-refused"): bad}
    return {
        series("why502_requests_total", SHOP, code="2xx"): good,
        series("why502_requests_total", SHOP, code=code): bad,
        **failures,
    }


def member(number: int | str, ok: str = "0x6000", refused: str = "0x6000", up: str = "1x6000") -> dict[str, str]:
    labels = APP | {"target": f"10.0.0.{number}:80" if isinstance(number, int) else number}
    return {
        series("why502_target_info", labels, group="app"): "1x6000",
        series("why502_target_up", labels, group="app"): up,
        series("why502_attempts_total", labels, outcome="ok"): ok,
        series("why502_attempts_total", labels, outcome="connect-refused"): refused,
        series("why502_check_failures_total", labels, symptom="connect-refused"): refused,
    }


def retries(recovered: str, attempts: str) -> dict[str, str]:
    return {
        series("why502_recovered_failures_total", APP): recovered,
        series("why502_attempts_total", APP, outcome="ok"): attempts,
    }


def responses(quick: str, all_: str, timeout: str = "60x6000") -> dict[str, str]:
    buckets = {"1": quick, "30": quick, "60": all_, "+Inf": all_}
    return {
        **{series("why502_response_duration_seconds_bucket", APP, le=le): values for le, values in buckets.items()},
        series("why502_response_duration_seconds_count", APP): all_,
        series("why502_target_info", APP, group="app"): "1x6000",
        series("why502_timeout_seconds", GROUP, location="shop.example/", phase="read"): timeout,
        series("why502_timeout_seconds", GROUP, location="shop.example/", phase="connect"): "1x6000",
    }


def limit(exhausted: str, ratio: str) -> dict[str, str]:
    return {series("why502_limit_exhausted_timestamp_seconds", MEMORY): exhausted, series("why502_limit_ratio", MEMORY): ratio}


def silence(lines: str, newest: str, up: str = "1x6000", kind: str = "access") -> dict[str, str]:
    return {
        series("why502_log_lines_total", ACCESS | {"kind": kind}): lines,
        series("why502_log_last_line_timestamp_seconds", ACCESS | {"kind": kind}): newest,
        series("why502_target_up", APP, group="app"): up,
    }


def unparsed(lines: str, bad: str) -> dict[str, str]:
    return {series("why502_log_lines_total", ACCESS): lines, series("why502_log_unparsed_total", ACCESS): bad}


def lag(newest: str, unread: str) -> dict[str, str]:
    return {
        series("why502_log_last_line_timestamp_seconds", ACCESS): newest,
        series("why502_log_lag_bytes", ACCESS): unread,
    }


def notifications(failed: str, sent: str) -> dict[str, str]:
    name = "why502_notifications_total"
    return {series(name, PAGER, outcome="failed"): failed, series(name, PAGER, outcome="sent"): sent}


def one(name: str, labels: Labels, values: str) -> dict[str, str]:
    return {series(name, labels): values}


def incident(values: str, **labels: str) -> dict[str, str]:
    return one("why502_incidents_open", INCIDENT | labels, values)


def budget(at: str, every: str, good: str, bad: str, below: str, few: str, severity: str) -> list[Case]:
    """Return the cases of one alert about the allowance. The counts are per step."""
    fires = SHOP | HOST
    half = f"0+{good}x250 0+{good}x250", f"0+{bad}x250 0+{bad}x250"
    return [
        Case("fires", at, requests(f"0+{good}x500", f"0+{bad}x500"), fires, severity, every),
        Case("just below", at, requests(f"0+{good}x500", f"0+{below}x500"), every=every),
        Case("too few failures", at, requests(f"0+{few}x500", "0+0.001x495 0.5+0.5x5"), every=every),
        Case("ended", at, requests("0+1000x500", f"0+{bad}x300 {300 * int(bad)}x200"), every=every),
        Case("fires after a restart", at, requests(*half), fires, severity, every),
        Case("a restart is no failure", at, requests(f"0+{good}x250 0+{good}x250", "7x250 0x250"), every=every),
        Case("gone", at, requests(f"0+{good}x20 stale", f"0+{bad}x20 stale"), every=every),
    ]


DOWN = "1x5 0x60"
CASES: dict[str, list[Case]] = {
    "Why502Incident": [
        Case("fires", "10m", incident("0x5 1x20"), INCIDENT | HOST),
        Case(
            "fires without a cause",
            "10m",
            incident("1x20", cause="unknown", fault_domain="none"),
            {name: value for name, value in INCIDENT.items() if name != "cause"} | HOST | {"fault_domain": "none"},
        ),
        Case("a ticket", "10m", incident("1x20", severity="ticket")),
        Case("ended", "10m", incident("0x20")),
        Case("keeps firing for 5 minutes", "9m", incident("1x5 0x20"), INCIDENT | HOST),
        Case("ends after that", "12m", incident("1x5 0x20")),
    ],
    "Why502BudgetFast": budget("8h", "1m", "98", "2", "1", "1", "page"),
    "Why502BudgetSlow": budget("8h", "1m", "993", "7", "5", "1", "page"),
    "Why502BudgetDay": budget("40h", "5m", "996", "4", "2", "1", "ticket"),
    "Why502BudgetDays": budget("80h", "10m", "998", "2", "0.9", "1", "ticket"),
    "Why502TargetDown": [
        Case("fires", "10m", member(1, "0+10x60", "0+1x60", DOWN), APP | HOST | {"group": "app"}),
        Case("a ticket without traffic", "10m", member(1, up=DOWN), APP | HOST | {"group": "app"}, "ticket"),
        Case("just begun", "6m", member(1, "0+10x60", "0+1x60", DOWN)),
        Case("up again", "10m", member(1, "0+10x60", "0+1x60", "1x5 0x3 1x60")),
        Case("unknown", "20m", member(1, "0+10x60", "0+1x60", "0x3 stale")),
        Case(
            "fires for a hostile name",
            "10m",
            member(HOSTILE, "0+10x60", "0+1x60", DOWN),
            APP | HOST | {"group": "app", "target": HOSTILE},
        ),
    ],
    "Why502LastHealthyTarget": [
        Case("fires", "10m", member(1) | member(2, up=DOWN) | member(3, up=DOWN), GROUP | HOST),
        Case("two are left", "10m", member(1) | member(2) | member(3, up=DOWN)),
        Case("there is only one", "10m", member(1)),
        Case("another may be up", "10m", member(1) | member(2, up=DOWN) | member(3, up="_x60")),
        Case("just begun", "6m", member(1) | member(2, up=DOWN)),
    ],
    "Why502OneBadTarget": [
        Case(
            "fires",
            "20m",
            member(1, "0+8x60", "0+2x60") | member(2, "0+10x60") | member(3, "0+10x60"),
            APP | HOST | {"group": "app"},
            "ticket",
        ),
        Case(
            "the others fail too",
            "20m",
            member(1, "0+7x60", "0+3x60") | member(2, "0+9x60", "0+1x60") | member(3, "0+9x60", "0+1x60"),
        ),
        Case("too few failures", "20m", member(1, "0+1x60", "0+0.9x60") | member(2, "0+10x60") | member(3, "0+10x60")),
        Case("the others have no traffic", "20m", member(1, "0+8x60", "0+2x60") | member(2, "0+0.4x60") | member(3, "0+0.4x60")),
        Case(
            "fires after a restart",
            "20m",
            member(1, "0+8x15 0+8x60", "0+2x15 0+2x60") | member(2, "0+10x15 0+10x60"),
            APP | HOST | {"group": "app"},
            "ticket",
        ),
        Case("gone", "40m", member(1, "0+8x15 stale", "0+2x15 stale") | member(2, "0+10x60")),
    ],
    "Why502RetriesRecover": [
        Case("fires", "40m", retries("0+1x60", "0+49x60"), APP, "ticket"),
        Case("just below", "40m", retries("0+0.4x60", "0+49x60")),
        Case("too few", "40m", retries("0+0.3x60", "0+1x60")),
        Case("only for a moment", "40m", retries("0x30 0+9x3 27x60", "0+49x60")),
        Case("fires after a restart", "40m", retries("0+1x25 0+1x60", "0+49x25 0+49x60"), APP, "ticket"),
        Case("gone", "60m", retries("0+1x30 stale", "0+49x30 stale")),
    ],
    "Why502NearTimeout": [
        Case("fires", "40m", responses("0+9.7x60", "0+10x60"), APP, "ticket"),
        Case("the timeout is longer", "40m", responses("0+9.7x60", "0+10x60", "120x6000")),
        Case("all are quick", "40m", responses("0+10x60", "0+10x60")),
        Case("too few requests", "40m", responses("0+2.9x60", "0+3x60")),
        Case("fires after a restart", "40m", responses("0+9.7x20 0+9.7x60", "0+10x20 0+10x60"), APP, "ticket"),
        Case("gone", "60m", responses("0+9.7x20 stale", "0+10x20 stale")),
    ],
    "Why502ClientsGiveUp": [
        Case("fires", "25h", requests("0+95x400", "0+1x288 298+10x100", "499"), SHOP, "ticket", "5m"),
        Case("just below", "25h", requests("0+96x400", "0+1x288 292+4x100", "499"), every="5m"),
        Case("as a day ago", "25h", requests("0+95x400", "0+10x400", "499"), every="5m"),
        Case("too few", "25h", requests("0+20x400", "0+0.1x288 31+3x100", "499"), every="5m"),
        Case("nothing is known of a day ago", "25h", requests("_x200 0+95x400", "_x200 0+10x400", "499"), every="5m"),
        Case("a restart", "25h", requests("0+95x290 0+95x100", "300x290 0x100", "499"), every="5m"),
    ],
    "Why502LimitSoon": [
        Case("fires", "20m", limit("3000x60", "0.7x60"), MEMORY),
        Case("a ticket", "20m", limit("50000x60", "0.7x60"), MEMORY, "ticket"),
        Case("later than a day", "20m", limit("100000x60", "0.7x60")),
        Case("hardly used", "20m", limit("3000x60", "0.6x60")),
        Case("just begun", "14m", limit("3000x60", "0.7x60")),
        Case("no longer expected", "20m", limit("3000x5 stale", "0.7x60")),
    ],
    "Why502ListenQueue": [
        Case("fires", "5m", one("why502_limit_ratio", QUEUE, "0x2 0.6x60"), QUEUE),
        Case("just below", "5m", one("why502_limit_ratio", QUEUE, "0.5x60")),
        Case("just begun", "3m", one("why502_limit_ratio", QUEUE, "0x2 0.6x60")),
        Case("another limit", "5m", one("why502_limit_ratio", MEMORY, "0.6x60")),
        Case("gone", "30m", one("why502_limit_ratio", QUEUE, "0.6x5 stale")),
    ],
    "Why502CertificateEnds": [
        Case("fires", "10m", one("why502_certificate_expiry_timestamp_seconds", CERTIFICATE, "100000x60"), CERTIFICATE),
        Case("has ended", "10m", one("why502_certificate_expiry_timestamp_seconds", CERTIFICATE, "100x60"), CERTIFICATE),
        Case(
            "a ticket",
            "10m",
            one("why502_certificate_expiry_timestamp_seconds", CERTIFICATE | {"role": "upstream"}, "1000000x60"),
            CERTIFICATE | {"role": "upstream"},
            "ticket",
        ),
        Case("just below", "10m", one("why502_certificate_expiry_timestamp_seconds", CERTIFICATE, "1210300x60")),
        Case("renewed", "10m", one("why502_certificate_expiry_timestamp_seconds", CERTIFICATE, "100000x5 9000000x60")),
    ],
    "Why502ConfigNotInForce": [
        Case(
            "fires", "70m", one("why502_config_in_force", ON | {"proxy": "nginx"}, "1x5 0x100"), ON | {"proxy": "nginx"}, "ticket"
        ),
        Case("just begun", "60m", one("why502_config_in_force", ON | {"proxy": "nginx"}, "1x5 0x100")),
        Case("in force", "70m", one("why502_config_in_force", ON | {"proxy": "nginx"}, "1x100")),
        Case("unknown", "70m", one("why502_config_in_force", ON | {"proxy": "nginx"}, "0x5 stale")),
    ],
    "Why502LogSilent": [
        Case("fires", "25h", silence("0+10x287 2870x100", "0+300x287 86100x100"), ACCESS, every="5m"),
        Case("just below", "25h", silence("0+10x298 2980x100", "0+300x298 89400x100"), every="5m"),
        Case("too little traffic", "25h", silence("0+5x287 1435x100", "0+300x287 86100x100"), every="5m"),
        Case("everything is down", "25h", silence("0+10x287 2870x100", "0+300x287 86100x100", "0x400"), every="5m"),
        Case("an error log", "25h", silence("0+10x287 2870x100", "0+300x287 86100x100", kind="error"), every="5m"),
        Case("fires after a restart", "25h", silence("0+10x12 0+10x275 2750x100", "0+300x287 86100x100"), ACCESS, every="5m"),
        Case("gone", "25h", silence("0+10x287 stale", "0+300x287 stale"), every="5m"),
    ],
    "Why502LogUnparsed": [
        Case("fires", "20m", unparsed("0+10x60", "0+2x60"), ACCESS, "ticket"),
        Case("just below", "20m", unparsed("0+10x60", "0+1x60")),
        Case("too few lines", "20m", unparsed("0+1.9x60", "0+1.9x60")),
        Case("fires after a restart", "20m", unparsed("0+10x15 0+10x60", "0+2x15 0+2x60"), ACCESS, "ticket"),
        Case("gone", "40m", unparsed("0+10x15 stale", "0+2x15 stale")),
    ],
    "Why502LogLost": [
        Case("fires", "15m", one("why502_log_lost_bytes_total", ACCESS, "0x10 2048x60"), ACCESS, "ticket"),
        Case("long ago", "30m", one("why502_log_lost_bytes_total", ACCESS, "0x10 2048x60")),
        Case("a restart", "15m", one("why502_log_lost_bytes_total", ACCESS, "2048x10 0x60")),
    ],
    "Why502LogLag": [
        Case("fires", "5m", lag("0x60", "4096x60"), ACCESS, "ticket"),
        Case("a quiet log", "5m", lag("0x60", "0x60")),
        Case("just behind", "5m", lag("0+60x60", "4096x60")),
        Case("gone", "30m", lag("0x5 stale", "4096x5 stale")),
    ],
    "Why502NotDelivered": [
        Case("fires", "20m", notifications("0+1x60", "5x60"), PAGER | {"outcome": "failed"}),
        Case("some arrive", "20m", notifications("0+1x60", "0+1x60")),
        Case("nothing to send", "20m", notifications("9x60", "5x60")),
        Case("a restart", "20m", notifications("9x15 0x60", "5x15 0x60")),
        Case("gone", "40m", notifications("0+1x15 stale", "5x15 stale")),
    ],
    "Why502WatchGone": [
        Case("fires where it never was", "10m", {}, {}, build={}),
        Case("fires where it was", "20m", one("up", ON, "1x5 0x60"), ON, build={next(iter(BUILD)): "1x5 stale"} | OTHER_HOST),
        Case("fires if it hangs", "20m", one("why502_last_update_timestamp_seconds", ON, "0x60"), ON),
        Case("just begun", "9m", one("up", ON, "1x5 0x60"), build={next(iter(BUILD)): "1x5 stale"} | OTHER_HOST),
        Case("well", "20m", one("up", ON, "1x60") | one("why502_last_update_timestamp_seconds", ON, "0+60x60")),
        Case("another exporter is gone", "20m", one("up", ON | {"job": "node"}, "0x60")),
    ],
    "Why502Watchdog": [Case("fires", "1m", {}, {}, "none")],
}


# How often, for alerts about long times: promtool evaluates all rules each time.
EVALUATED = {burn.alert: "4h" for burn in BURN_RATES} | {"Why502ClientsGiveUp": "15m", "Why502LogSilent": "30m"}


def expected() -> dict[str, dict[str, Labels]]:
    """Return the words of each alert by alert and case, as they were read and accepted."""
    found: dict[str, dict[str, Labels]] = yaml.safe_load(EXPECTED.read_text())
    return found


def run_promtool(alert: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    (tmp_path / "rules.yml").write_text(rules(99.9))
    tests = []
    for case in CASES[alert]:
        labels = {"severity": case.severity} | case.fires if case.fires is not None else {}
        words = expected().get(alert, {}).get(case.name, {"summary": "", "description": ""})
        alerts = [{"exp_labels": labels, "exp_annotations": words}] if case.fires is not None else []
        tests.append(
            {
                "name": case.name,
                "interval": case.every,
                "input_series": [{"series": name, "values": values} for name, values in (case.build | case.given).items()],
                "alert_rule_test": [{"eval_time": case.at, "alertname": alert, "exp_alerts": alerts}],
            }
        )
    file = tmp_path / "test.yml"
    file.write_text(
        json.dumps(
            {
                "rule_files": ["rules.yml"],
                "evaluation_interval": EVALUATED.get(alert, "1m"),
                "group_eval_order": [group["name"] for group in yaml.safe_load(rules(99.9))["groups"]],
                "tests": tests,
            }
        )
    )
    return subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.real
@pytest.mark.parametrize("alert", CASES)
def test_an_alert_fires_when_it_should_and_only_then(alert: str, tmp_path: Path) -> None:
    done = run_promtool(alert, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_cases_of_each_kind() -> None:
    alerts = [rule["alert"] for group in yaml.safe_load(rules(99.9))["groups"] for rule in group["rules"] if "alert" in rule]
    assert set(CASES) == set(alerts)
    for alert, cases in CASES.items():
        assert any(case.fires is not None for case in cases)
        assert alert == "Why502Watchdog" or sum(case.fires is None for case in cases) >= 2
    wanted = {(alert, case.name) for alert, cases in CASES.items() for case in cases if case.fires is not None}
    assert wanted == {(alert, name) for alert, cases in expected().items() for name in cases}


@pytest.mark.real
@pytest.mark.parametrize("objective", [93.1, 99, 99.9, 99.99, 99.999])
def test_promtool_accepts_the_rules(objective: float, tmp_path: Path) -> None:
    file = tmp_path / "rules.yml"
    file.write_text(rules(objective))
    done = subprocess.run(
        ["promtool", "check", "rules", "--lint=all", "--lint-fatal", str(file)], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_fast_alert_can_be_reached_with_every_accepted_objective() -> None:
    for objective in (93.1, 99.9):
        (rule,) = (
            rule
            for group in yaml.safe_load(rules(objective))["groups"]
            for rule in group["rules"]
            if rule.get("alert") == "Why502BudgetFast"
        )
        ratio = float(rule["expr"].split("why502:failure_ratio:rate5m > ")[1].split()[0])
        assert ratio == pytest.approx(14.4 * (1 - objective / 100)) and ratio < 1


def test_a_manifest_holds_the_same_rules() -> None:
    found = yaml.safe_load(manifest(rules(99.9)))
    assert (found["apiVersion"], found["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert found["spec"] == yaml.safe_load(rules(99.9))


@pytest.mark.parametrize(("text", "objective"), [("99.9", 99.9), ("93.1", 93.1), (" 99.95% ", 99.95)])
def test_objectives(text: str, objective: float) -> None:
    assert objective_of(text) == objective


@pytest.mark.parametrize("text", ["93", "0", "-1", "100", "100.0", "999", "nan", "inf", "1e2", "", "99,9", "٩٩", "99.99999999"])
def test_other_objectives_are_refused_with_the_reason(text: str) -> None:
    with pytest.raises(Why502Error) as error:
        objective_of(text)
    assert error.value.hint
