"""The diagnosis as one self-contained HTML page, light and dark."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from why502.model.finding import Diagnosis
from why502.model.remedy import Edit, Run
from why502.render.words import (
    FAULT_DOMAINS,
    Terminal,
    asserted,
    clock,
    considered,
    counted,
    diff_lines,
    headlines,
    how_often,
    labelled,
    safe,
    unchecked,
    where,
)

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>why502: {{ diagnosis.verdict.value }}</title>
<style>
:root { color-scheme: light dark; --line: light-dark(#d5d5d5, #444); --dim: light-dark(#666, #999) }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere }
h1 { font-size: 1.4rem } h2 { font-size: 1.15rem; margin-top: 2rem }
.problem, .fail { color: light-dark(#b3141c, #ff7b72) } .healthy, .pass { color: light-dark(#126329, #56d364) }
.unknown, .warn { color: light-dark(#8a5300, #e3b341) } .skip, small { color: var(--dim) }
pre { border: 1px solid var(--line); border-radius: 6px; padding: .7rem; overflow-x: auto }
table { border-collapse: collapse; width: 100% }
td { border-top: 1px solid var(--line); padding: .3rem .6rem .3rem 0; vertical-align: top }
th { text-align: left; font-weight: normal; color: var(--dim); padding-right: 1rem }
td.weight { font-variant-numeric: tabular-nums; text-align: right; padding-right: 1rem }
td:first-child { white-space: nowrap; width: 1% }
h2 small { font-weight: normal }
</style>
<h1><span class="{{ diagnosis.verdict.value }}">{{ diagnosis.verdict.value|upper }}</span>: {{ headlines[0]|safe_text }}</h1>
{% for also in headlines[1:] %}<p class="also">Also: {{ also|safe_text }}</p>
{% endfor %}
<p><small>{{ since }} to {{ until }},
{{ diagnosis.requests|counted("request") }}, {{ diagnosis.failures|counted("failure") }}</small></p>
{% for finding in found %}
<h2>{{ finding.cause|safe_text }}{% if finding.subject %} on {{ finding.subject|safe_text }}{% endif %}
 <small>{{ "%.0f"|format(finding.confidence * 100) }} % confidence, fault: {{ fault_domains[finding.layer] }}</small></h2>
<p>{{ how_often(finding)|safe_text }}{% if where(finding) %}<br>{{ where(finding)|safe_text }}{% endif %}</p>
<table><tr><th scope="col">weight</th><th scope="col">evidence</th></tr>{% for item in finding.evidence %}
<tr><td class="weight">{{ "%+.1f"|format(item.weight) if item.weight }}</td>
<td>{{ item.message|safe_text }}{% if item.source %} <small>{{ item.source|safe_text }}</small>{% endif %}</td></tr>
{% endfor %}</table>
{% for label, remedy in labelled(finding) %}<p><b>{{ label }}:</b> {{ remedy.message|safe_text }}</p>
{% if remedy.steps %}<pre>{% for line in remedy.steps|lines %}{% if line[0] in "+-" -%}
<span class="{{ "pass" if line[0] == "+" else "fail" }}">{{ line }}</span>
{% else %}{{ line }}
{% endif %}{% endfor %}</pre>
{% endif %}{% endfor %}
{% endfor %}
{% if others %}<p><small>Also considered:
{% for finding in others %}{{ finding.cause|safe_text }} ({{ "%.0f"|format(finding.confidence * 100) }} %)
{{- "," if not loop.last }}
{% endfor %}</small></p>{% endif %}
<h2>Checked</h2>
<table>{% for check in diagnosis.checks %}
<tr><td class="{{ check.status.value }}">{{ check.status.value }}</td>
<td>{{ check.title|safe_text }}{% if check.detail %}<br><small>{{ check.detail|safe_text }}</small>{% endif %}</td></tr>
{% endfor %}</table>
{% if gaps %}<h2>Not checked</h2><ul>
{% for gap in gaps %}<li>{{ gap.source|safe_text }}: {{ gap.reason|safe_text }}
{% if gap.hint %}<small>{{ gap.hint|safe_text }}</small>{% endif %}</li>
{% endfor %}</ul>{% endif %}
</html>
"""


def render(diagnosis: Diagnosis, terminal: Terminal) -> str:
    """Return the page; all text in it is escaped."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["safe_text"] = safe
    environment.filters["lines"] = _lines
    environment.filters["counted"] = counted
    return environment.from_string(_PAGE).render(
        diagnosis=diagnosis,
        headlines=headlines(diagnosis),
        since=clock(diagnosis.since),
        until=clock(diagnosis.until),
        found=asserted(diagnosis),
        others=considered(diagnosis),
        labelled=labelled,
        gaps=unchecked(diagnosis),
        fault_domains=FAULT_DOMAINS,
        how_often=how_often,
        where=where,
    )


def _lines(steps: tuple[Edit | Run, ...]) -> Iterator[str]:
    """Yield the lines of a remedy's diffs and commands."""
    for step in steps:
        if isinstance(step, Edit):
            yield from (line or " " for line in diff_lines(step.diff))
        else:
            yield "$ " + safe(shlex.join(step.argv))
