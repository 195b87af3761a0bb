"""The dashboard of one target: its checks, its attempts, its response times, its limits and restarts."""

from __future__ import annotations

from why502.generate.observability.dashboards.panels import (
    HERE,
    INSTANCE,
    MINE,
    PROXY,
    RATE,
    Dashboard,
    Panel,
    Query,
    Shape,
    Variable,
)

_TARGET = f'{MINE},target=~"$target"'
_SUBJECTS = "memory|nofile|php_fpm_children|listen_queue"


def dashboard(_objective: float) -> Dashboard:
    """Return it. The objective does not matter here."""
    return Dashboard(
        name="member",
        title="member",
        variables=(INSTANCE, PROXY, Variable(name="target", query=f"label_values(why502_target_info{{{MINE}}}, target)")),
        panels=(
            Panel(title="State", shape=Shape.STATES, queries=(Query(f"why502_target_up{{{_TARGET}}}", "{{target}}"),)),
            Panel(
                title="Open incidents",
                shape=Shape.TABLE,
                queries=(
                    Query(
                        f'why502_incident_opened_timestamp_seconds{{{HERE},target=~"$target"}} * 1000',
                        title="since",
                        unit="dateTimeFromNow",
                    ),
                ),
            ),
            Panel(
                title="Restarts, releases and certificates",
                shape=Shape.TABLE,
                queries=(
                    Query(
                        f'why502_last_change_timestamp_seconds{{{HERE},kind=~"unit|image|release|package|certificate"}} * 1000',
                        title="at",
                        unit="dateTimeFromNow",
                    ),
                ),
            ),
            Panel(
                title="Duration of the checks by phase",
                unit="s",
                is_stacked=True,
                queries=(Query(f"max by (phase) (why502_check_duration_seconds{{{_TARGET}}})", "{{phase}}"),),
            ),
            Panel(
                title="Failed checks by symptom",
                unit="cps",
                queries=(Query(f"sum by (symptom) (rate(why502_check_failures_total{{{_TARGET}}}[{RATE}]))", "{{symptom}}"),),
            ),
            Panel(
                title="Attempts by outcome",
                unit="reqps",
                is_stacked=True,
                queries=(Query(f"sum by (outcome) (rate(why502_attempts_total{{{_TARGET}}}[{RATE}]))", "{{outcome}}"),),
            ),
            Panel(
                title="Response times",
                unit="s",
                queries=tuple(
                    Query(
                        f"histogram_quantile({share}, "
                        f"sum by (le) (rate(why502_response_duration_seconds_bucket{{{_TARGET}}}[{RATE}])))",
                        legend,
                    )
                    for share, legend in ((0.5, "median"), (0.9, "90 %"), (0.99, "99 %"))
                ),
            ),
            Panel(
                title="Failures recovered by a retry",
                unit="reqps",
                queries=(Query(f"sum by (target) (rate(why502_recovered_failures_total{{{_TARGET}}}[{RATE}]))", "{{target}}"),),
            ),
            Panel(
                title="Memory, files, children and queues",
                unit="percentunit",
                queries=(Query(f'why502_limit_ratio{{{HERE},limit=~"{_SUBJECTS}"}}', "{{limit}} {{subject}}"),),
            ),
        ),
    )
