"""The rules of Prometheus for one objective."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from textwrap import indent

import jinja2

from why502.model.errors import Why502Error

OBJECTIVE = "99.9"
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
HOURS = 30 * 24  # of the period of the objective
LEAST = 93.1  # %: above, 14.4 times the allowance is a ratio of failures that can be reached
WITH_HOST = "* on (job, instance) group_left (host) why502:host:info"
_HERE = Path(__file__).parent
_DECIMAL = re.compile(r"[0-9]{1,3}(\.[0-9]{1,6})?")

# Parts that several alerts share. They are templates of Prometheus.
_DOWN = "{{ $labels.host }}: {{ $labels.target }} behind {{ $labels.proxy }} is down"
_SYMPTOM = (
    "Symptom of its checks: "
    '{{ with printf "topk(1, increase(why502_check_failures_total{instance=%q,proxy=%q,target=%q}[5m]) > 0)" '
    "$labels.instance $labels.proxy $labels.target | query }}"
    '{{ . | first | label "symptom" }}{{ else }}unknown{{ end }}.'
)
_LIMIT = (
    "{{ $labels.instance }}: {{ $labels.limit }} of {{ $labels.subject }} "
    "{{ if ge $value 0.0 }}is expected to be exhausted in {{ $value | humanizeDuration }}"
    "{{ else }}is about to be exhausted{{ end }}"
)
_USED = (
    '{{ with printf "why502_limit_ratio{instance=%q,limit=%q,subject=%q}" '
    "$labels.instance $labels.limit $labels.subject | query }}"
    "{{ . | first | value | humanizePercentage }} of it is in use.{{ end }}"
)
_CERTIFICATE = (
    "{{ $labels.instance }}: the certificate {{ $labels.name }} "
    "{{ if ge $value 0.0 }}expires in {{ $value | humanizeDuration }}{{ else }}has expired{{ end }}"
)
_ROLE = (
    '{{ if eq $labels.role "front" }}Clients see it.{{ else }}The proxy sees it. '
    "If the proxy verifies it, requests then fail with 502.{{ end }}"
)


@dataclass(slots=True, frozen=True)
class BurnRate:
    """One pair of windows of the SRE workbook, chapter 5: in `long`, `share` of the 30-day allowance is gone.

    `short` shows that it still goes on.
    """

    alert: str
    severity: str
    long: str
    hours: int
    short: str
    share: float
    words: str


BURN_RATES = (
    BurnRate("Why502BudgetFast", "page", "1h", 1, "5m", 0.02, "hour"),
    BurnRate("Why502BudgetSlow", "page", "6h", 6, "30m", 0.05, "6 hours"),
    BurnRate("Why502BudgetDay", "ticket", "1d", 24, "2h", 0.1, "day"),
    BurnRate("Why502BudgetDays", "ticket", "3d", 72, "6h", 0.1, "3 days"),
)


def objective_of(text: str) -> float:
    """Return an objective in per cent. Raises Why502Error."""
    if not _DECIMAL.fullmatch(text.strip().removesuffix("%").strip()):
        raise Why502Error(f"--objective {text!r} is not a percentage", f"Give one from {LEAST} to 99.999, such as {OBJECTIVE}.")
    objective = float(text.strip().removesuffix("%"))
    if objective >= 100:
        raise Why502Error("--objective 100 or more allows no failure", "Every failure would page. Give less, such as 99.99.")
    if objective < LEAST:
        raise Why502Error(
            f"--objective {objective:g} is below {LEAST}",
            "The fast alert fires at 14.4 times the allowed share of failures, which would be more than 100 %.",
        )
    return objective


def rules(objective: float) -> str:
    """Return the file of rules for an objective in per cent."""
    allowed = (100 - objective) / 100
    burns = [
        {
            "alert": burn.alert,
            "severity": burn.severity,
            "long": burn.long,
            "short": burn.short,
            "share": f"{burn.share:g}",
            "words": burn.words,
            "allowance": f"{allowed * HOURS / burn.hours:.10g}",
            "ratio": f"{burn.share * HOURS / burn.hours * allowed:.10g}",
        }
        for burn in BURN_RATES
    ]
    return (
        templates()
        .get_template("rules.yml")
        .render(
            objective=f"{objective:.10g}",
            windows=WINDOWS,
            burns=burns,
            with_host=WITH_HOST,
            down=_DOWN,
            symptom=_SYMPTOM,
            limit=_LIMIT,
            used=_USED,
            certificate=_CERTIFICATE,
            role=_ROLE,
        )
    )


def manifest(text: str) -> str:
    """Return a file of rules as a PrometheusRule of the Prometheus Operator."""
    comments, _, groups = text.partition("groups:\n")
    head = "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: why502\nspec:\n"
    return f"{comments}{head}{indent('groups:' + chr(10) + groups, '  ')}"


@cache
def templates() -> jinja2.Environment:
    """Return the templates of this package. `{{ }}` in them is for Prometheus, `<< >>` and `<% %>` are ours."""
    return jinja2.Environment(  # noqa: S701 - the output is YAML
        loader=jinja2.FileSystemLoader(_HERE),
        variable_start_string="<<",
        variable_end_string=">>",
        block_start_string="<%",
        block_end_string="%>",
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
