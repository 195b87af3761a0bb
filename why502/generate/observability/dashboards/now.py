"""The dashboard of an incident, on one screen: what fails, where, since when, and what changed."""

from __future__ import annotations

from why502.generate.observability.dashboards.panels import HERE, INSTANCE, MINE, PROXY, RATE, Dashboard, Panel, Query, Shape
from why502.generate.observability.rules import HOURS

_CHANGES = (
    ("Reloads and configuration", "config|reload"),
    ("Unit starts", "unit"),
    ("Packages, images and releases", "package|image|release"),
    ("Certificates", "certificate"),
)


def dashboard(objective: float) -> Dashboard:
    """Return it, for an objective in per cent."""
    allowed = f"{(100 - objective) / 100:.10g}"
    left = f"1 - {_ratio('30d')} / {allowed}"
    return Dashboard(
        name="now",
        title="3 a.m.",
        variables=(INSTANCE, PROXY),
        marks=(
            ("Incidents", f"why502_incident_opened_timestamp_seconds{{{HERE}}} * 1000"),
            *((name, f'why502_last_change_timestamp_seconds{{{HERE},kind=~"{kinds}"}} * 1000') for name, kinds in _CHANGES),
        ),
        panels=(
            Panel(
                title="Open incidents",
                shape=Shape.TABLE,
                width=11,
                height=6,
                queries=(
                    Query(f"why502_incident_opened_timestamp_seconds{{{HERE}}} * 1000", title="since", unit="dateTimeFromNow"),
                ),
                description="On the host, `why502 incidents list` shows the diagnosis, the evidence and the fix.",
            ),
            Panel(
                title="Allowance left",
                shape=Shape.NUMBER,
                width=3,
                height=6,
                unit="percentunit",
                queries=(Query(left),),
                thresholds=((None, "red"), (0.0, "orange"), (0.25, "green")),
                description=f"Share left of the failures that {objective:.10g} % allows in 30 days. Below 0, it is missed.",
            ),
            Panel(
                title="Gone in",
                shape=Shape.NUMBER,
                width=3,
                height=6,
                unit="h",
                queries=(Query(f"clamp_min({left}, 0) * {HOURS} * {allowed} / ({_ratio('1h')} > 0)"),),
                thresholds=((None, "red"), (24.0, "orange"), (72.0, "green")),
                description="Hours until the error budget is used up at the rate of the last hour. Empty without failures.",
            ),
            Panel(
                title="Limits",
                shape=Shape.TABLE,
                width=7,
                height=6,
                queries=(
                    Query(f"why502_limit_ratio{{{HERE}}}", title="used", unit="percentunit"),
                    Query(
                        f"why502_limit_exhausted_timestamp_seconds{{{HERE}}} * 1000", title="exhausted", unit="dateTimeFromNow"
                    ),
                ),
            ),
            Panel(
                title="Failures by symptom",
                unit="reqps",
                is_stacked=True,
                queries=(Query(f"sum by (symptom) (rate(why502_failures_total{{{MINE}}}[{RATE}]))", "{{symptom}}"),),
            ),
            Panel(
                title="Failed attempts by member",
                unit="reqps",
                is_stacked=True,
                queries=(Query(f'sum by (target) (rate(why502_attempts_total{{{MINE},outcome!="ok"}}[{RATE}]))', "{{target}}"),),
            ),
            Panel(
                title="Requests by status",
                unit="reqps",
                is_stacked=True,
                queries=(Query(f"sum by (code) (rate(why502_requests_total{{{MINE}}}[{RATE}]))", "{{code}}"),),
            ),
            Panel(
                title="Members",
                shape=Shape.STATES,
                queries=(Query(f"why502_target_up{{{MINE}}}", "{{target}}"),),
                description="Result of the checks. A gap means unknown.",
            ),
            Panel(
                title="Response times and the timeout",
                unit="s",
                queries=(
                    Query(_quantile(0.5), "median"),
                    Query(_quantile(0.99), "99 %"),
                    Query(f'min(why502_timeout_seconds{{{MINE},phase="read"}})', "shortest read timeout"),
                ),
            ),
            Panel(
                title="Failures recovered by a retry",
                unit="reqps",
                queries=(Query(f"sum by (target) (rate(why502_recovered_failures_total{{{MINE}}}[{RATE}]))", "{{target}}"),),
                description="Clients do not see these.",
            ),
        ),
    )


def _ratio(window: str) -> str:
    failed = f'sum(increase(why502_requests_total{{{MINE},code=~"502|503|504|5xx"}}[{window}]))'
    return f"({failed} / sum(increase(why502_requests_total{{{MINE}}}[{window}])))"


def _quantile(share: float) -> str:
    return f"histogram_quantile({share}, sum by (le) (rate(why502_response_duration_seconds_bucket{{{MINE}}}[{RATE}])))"
