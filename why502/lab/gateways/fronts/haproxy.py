"""HAProxy as a front, of Debian's package: its runtime socket, and its log to syslog or standard output.

Source: doc/configuration.txt, 4.2 (`log`, `option httplog`, `log-format`) and 8; doc/management.txt, 9.
"""

from __future__ import annotations

import csv
import re
import socket
import sys

from why502.lab.gateways.front import ANSWER_S, HOST, JOURNALS, Wiring, written_to_journal
from why502.lab.gateways.front import LOGS as DIRECTORY
from why502.lab.isolation import program
from why502.lab.managers import unit
from why502.lab.stage import BACKENDS, Stage

KIND = "haproxy"
LOGS = ("http", "clf", "json", "tcp", "iso", "stdout", *sorted(JOURNALS))
HEADER_KIB = 16  # tune.bufsize
LACKS: dict[str, str] = {}
ALIKE = {"reset": ("premature-close",)}  # SH, the state of both
_PLACES = frozenset({"global", "defaults", "frontend", "backend", "server"})
CONFIG = "/run/front/haproxy.cfg"  # /etc is the machine's own
SOCKET = "/run/haproxy-admin.sock"
LOG = "/var/log/haproxy.log"  # of rsyslog's rule in Debian's package
_JSON = (
    r"""'{"time":"%tr","client":"%ci:%cp","frontend":"%ft","backend":"%b","server":"%s","status_code":%ST,"termination_state":"%ts","""
    r""""time_request":%TR,"time_queue":%Tw,"time_connect":%Tc,"time_response":%Tr,"time_active":%Ta,"bytes_read":%B,"http_method":"%HM","""
    r""""http_path":"%HP"}'"""
)
_FORMS = {
    "http": "option httplog",
    "clf": "option httplog clf",
    "json": f"log-format {_JSON}",
    "tcp": "option tcplog",
    "iso": "option httplog",
    "stdout": "option httplog",
    "journal": "option httplog",
    "syslog-journal": "option httplog",
}
_LOG_TO = dict.fromkeys(("json", "stdout", "journal"), "stdout format raw") | {"syslog-journal": "/dev/log"}
_UNIT = "haproxy"
_LINE = re.compile(r"(?:\] |: )(\S+) (\S+/\S+) (\S+) (-?\d+) (?:\S+ ){3}(\S{4}) ")
_TIMER = re.compile(r"(?<!-)\b\d+\b")  # those that were not reached are -1
_MESSAGE = re.compile(
    r"(?:Server|Health check for|backend|'server) .*(?:is (?:DOWN|UP|going)|failed|available|could not resolve).*"
)
_PARTS = re.compile(r'"(?:backend|server|status_code|termination_state)":"?([^",}]+)')


def settle(stage: Stage) -> None:
    """Wait for the journal where its log goes there: it writes the line of each request when that ends."""
    if stage.is_machine:
        written_to_journal(stage, _UNIT)


def missing() -> str:
    """Return what this machine lacks for it, in words."""
    return "" if program("haproxy") else "needs haproxy"


def start(stage: Stage, wiring: Wiring) -> None:
    """Write its configuration, start it after its syslog daemon, and wait until it serves."""
    if wiring.log not in _LOG_TO:
        form = "iso" if wiring.log == "iso" else "traditional"
        stage.path(DIRECTORY).mkdir(parents=True, exist_ok=True)
        daemon = stage.spawn(sys.executable, str(BACKENDS / "syslog.py"), str(stage.path(LOG)), form)
        stage.until(lambda: stage.path(LOG).exists(), "the syslog daemon listens", daemon)
        stage.path(f"{DIRECTORY}/haproxy.log").symlink_to(stage.path(LOG))
    check = f"\n    option httpchk GET {wiring.check}" if wiring.check else ""
    options = " check inter 200ms fall 1 rise 2" if wiring.check else ""
    if wiring.is_tls:
        verified = f"verify required ca-file {wiring.trusted}" if wiring.trusted else "verify none"
        name = f" sni str({wiring.server_name}) verifyhost {wiring.server_name}" if wiring.server_name else ""
        options += f" ssl {verified}{name}"
    own = {place: "".join(f"\n    {line}" for line in wiring.own.get(place, "").splitlines()) for place in _PLACES}
    options += " ".join(("", *wiring.own.get("server", "").split()))
    servers = "".join(
        f"\n    server app{number} {server} init-addr last,libc,none{options}" for number, server in enumerate(wiring.servers, 1)
    )
    limit = f"\n    timeout server {wiring.answer_s:g}s" if wiring.answer_s else ""
    text = f"""\
global
    log {_LOG_TO.get(wiring.log, "127.0.0.1:514")} local0
    stats socket {stage.path(SOCKET)} mode 600 level admin{own["global"]}
defaults
    mode http
    log global
    {_FORMS[wiring.log]}
    option abortonclose
    retries 1
    timeout client 10s
    timeout connect {wiring.connect_s:g}s
    timeout check 500ms{limit}{own["defaults"]}
frontend web
    bind :{stage.port(80)}
    acl shop req.hdr(host) -i {HOST}{own["frontend"]}
    use_backend app if shop
backend app{check}{own["backend"]}{servers}
"""
    config = stage.write(CONFIG, text)
    if stage.is_machine:  # as in Debian's unit
        command = f"{program('haproxy')} -Ws -f {config} -p /run/haproxy.pid"
        unit(stage, command, "Type=notify\nKillMode=mixed\nSuccessExitStatus=143", name=_UNIT)
        process = None
    else:
        process = stage.spawn(program("haproxy"), "-db", "-f", config, log=f"{DIRECTORY}/out.log")
    stage.until(lambda: stage.path(SOCKET).exists() and bool(asked(stage, "show info")), "HAProxy serves", process)


def words(stage: Stage) -> dict[str, str]:
    """Return what its runtime socket says of the servers."""
    rows = csv.DictReader(asked(stage, "show stat").lstrip("# ").splitlines())
    states = (
        " ".join(part for part in (row["status"], row["check_status"], row["last_chk"]) if part)
        for row in rows
        if row["svname"] not in ("FRONTEND", "BACKEND")
    )
    return {"show stat": "; ".join(states)}


def asked(stage: Stage, command: str) -> str:
    """Return the answer to a command of its runtime socket; "" if there is none or it says nothing."""
    answer = b""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_S)
            connection.connect(str(stage.path(SOCKET)))
            connection.sendall(f"{command}\n".encode())
            while part := connection.recv(65536):
                answer += part
    except OSError:
        return ""
    return answer.decode(errors="replace")


def failures(text: str) -> list[str]:
    """Return what its log has of failed requests, and of servers that went down."""
    found: dict[str, None] = {}
    for line in text.splitlines():
        if line.rstrip().endswith("}") and '"termination_state"' in line:
            backend, server, status, state = _PARTS.findall(line)
            if status >= "499" or not state.startswith("--"):
                found[f"{backend}/{server} … {status} … {state}"] = None
        elif match := _LINE.search(line):
            if match[4] >= "499" or not match[5].startswith("--"):
                timers = _TIMER.sub("N", match[3])
                found[f"{match[2]} {timers} {match[4]} … {match[5]}"] = None
        elif match := _MESSAGE.search(line):
            found[re.sub(r"check duration: \d+ms", "check duration: …", match[0].partition(". ")[0])] = None
    return list(found)
