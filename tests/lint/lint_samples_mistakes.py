"""Samples of the rules on mistakes that are often asked about: those of the faults that have a version without the fault."""

from __future__ import annotations

from lint_faults import FIXED, Fault, load
from lint_sample import Sample

_FIRST = 188  # the rules before it have their samples elsewhere
PASS = "proxy_pass http://127.0.0.1:3000;"


def _sample(fault: Fault, number: int) -> Sample:
    bad, good = fault.text, fault.sane
    for name, port in FIXED.items():
        bad, good = (text.replace(f"{{{name}}}", str(port)) for text in (bad, good))
    return Sample(number, bad, good, fault.within)


SAMPLES = (
    *(_sample(fault, number) for fault in load() if fault.sane for rule in fault.rules if (number := int(rule[5:])) >= _FIRST),
    Sample(195, "location / { proxy_pass http://$http_host; }", f"location / {{ {PASS} }}", "server"),
    Sample(
        200,
        f"location / {{ try_files $uri @app; if ($arg_a) {{ set $b 1; }} }} location @app {{ {PASS} }}",
        f"location / {{ try_files $uri @app; if ($arg_a) {{ return 403; }} }} location @app {{ {PASS} }}",
        "server",
    ),
    Sample(207, "uwsgi_pass 127.0.0.1:3000;", "uwsgi_param REQUEST_METHOD $request_method; uwsgi_pass 127.0.0.1:3000;", "location"),
)  # fmt: skip
