"""The dashboard of `why502 watch` itself: does it read everything, keep everything, and reach everybody?"""

from __future__ import annotations

from why502.generate.observability.dashboards.panels import HERE, INSTANCE, RATE, Dashboard, Panel, Query, Shape


def dashboard(_objective: float) -> Dashboard:
    """Return it. The objective does not matter here."""
    return Dashboard(
        name="watcher",
        title="is the watcher healthy?",
        variables=(INSTANCE,),
        panels=(
            Panel(
                title="Versions",
                shape=Shape.TABLE,
                width=6,
                height=5,
                queries=(Query(f"why502_build_info{{{HERE}}}", title="running"),),
            ),
            _number("Age of the values", f"time() - why502_last_update_timestamp_seconds{{{HERE}}}", 60, "s"),
            _number("Gaps", f"why502_gaps{{{HERE}}}", 1),
            _number("Failed reloads", f"1 - why502_config_last_reload_successful{{{HERE}}}", 1),
            _number("Messages pending", f"why502_notifications_pending{{{HERE}}}", 10),
            _number("Store errors in 1 h", f"increase(why502_store_errors_total{{{HERE}}}[1h])", 1),
            _number("Label sets in `other`", f"why502_series_overflow_total{{{HERE}}}", 1),
            _lines("Not yet read", f"why502_log_lag_bytes{{{HERE}}}", "bytes"),
            _lines("Age of the newest line", f"time() - why502_log_last_line_timestamp_seconds{{{HERE}}}", "s"),
            _lines("Lines read", f"rate(why502_log_lines_total{{{HERE}}}[{RATE}])", "cps"),
            _lines(
                "Unparsed lines",
                f"rate(why502_log_unparsed_total{{{HERE}}}[{RATE}]) / (rate(why502_log_lines_total{{{HERE}}}[{RATE}]) > 0)",
                "percentunit",
            ),
            _lines("Bytes lost in 1 h", f"increase(why502_log_lost_bytes_total{{{HERE}}}[1h])", "bytes"),
            _lines("Rotations in 1 h", f"increase(why502_log_rotations_total{{{HERE}}}[1h])", "short"),
            Panel(
                title="Notifications in 1 h",
                queries=(Query(f"increase(why502_notifications_total{{{HERE}}}[1h])", "{{receiver}} {{outcome}}"),),
            ),
            Panel(
                title="Mean duration of a diagnosis",
                unit="s",
                queries=(
                    Query(
                        f"increase(why502_diagnosis_duration_seconds_sum{{{HERE}}}[1h])"
                        f" / (increase(why502_diagnosis_duration_seconds_count{{{HERE}}}[1h]) > 0)",
                        "{{instance}}",
                    ),
                ),
            ),
            Panel(
                title="Incidents that ended, by cause, in 7 days",
                unit="s",
                queries=(
                    Query(f"sum by (cause) (increase(why502_incident_seconds_total{{{HERE}}}[7d]))", "{{cause}}"),
                    Query(f"sum(increase(why502_incidents_total{{{HERE}}}[7d]))", "number"),
                ),
            ),
            Panel(title="Memory", unit="bytes", width=12, queries=(_of_process("process_resident_memory_bytes"),)),
            Panel(title="CPU", unit="percentunit", width=12, queries=(_of_process("process_cpu_seconds_total", is_rate=True),)),
        ),
    )


def _number(title: str, query: str, bad: float, unit: str = "short") -> Panel:
    return Panel(
        title=title,
        shape=Shape.NUMBER,
        width=3,
        height=5,
        unit=unit,
        queries=(Query(query, "{{instance}}"),),
        thresholds=((None, "green"), (bad, "red")),
    )


def _lines(title: str, query: str, unit: str) -> Panel:
    return Panel(title=title, unit=unit, queries=(Query(query, "{{log}}"),))


def _of_process(name: str, *, is_rate: bool = False) -> Query:
    """Return the query of a process metric, of why502's own processes only."""
    series = f"{name}{{{HERE}}}"
    return Query(f"{f'rate({series}[{RATE}])' if is_rate else series} and on (job, instance) why502_build_info", "{{instance}}")
