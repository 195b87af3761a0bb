"""lighttpd as a front, of Debian's package: mod_proxy, its error log, and its access log in two forms.

Source: the wiki's pages Mod_proxy, Mod_accesslog and Mod_status; doc/config.
"""

from __future__ import annotations

import re

from why502.lab.gateways.front import HOST, Wiring, asked, logged
from why502.lab.gateways.front import LOGS as DIRECTORY
from why502.lab.isolation import program
from why502.lab.stage import Stage

KIND = "lighttpd"
LOGS = ("file", "stderr")
HEADER_KIB = 64
LACKS = {
    "hang-without-limit": "it always has a limit: read-timeout is 60 s unless set",
    "no-route": "a request without a route is for a file",
    "client-left": "its log does not tell that a client left",
    "empty": "it has no route without a server",
    "unknown-name": "it refuses a name without an address at its start",
    "slow": "it looks for timeouts once a second",
    "tls-to-http": "it speaks no TLS to servers",
    "tls-expired": "it speaks no TLS to servers",
    "tls-name": "it speaks no TLS to servers",
    "tls-issuer": "it speaks no TLS to servers",
    "check-wrong": "it has no checks",
}
ALIKE: dict[str, tuple[str, ...]] = {}
CONFIG = "/run/front/lighttpd.conf"
ADMIN = "127.0.0.1:8082"
ERRORS = f"{DIRECTORY}/error.log"
ACCESS = f"{DIRECTORY}/access.log"
_DOMAIN = HOST[HOST.index(".") :]  # of each name that a scene asks for
_LINE = re.compile(r"\((?:gw_backend|http-header-glue|mod_proxy)\.c\.\d+\) (.*)")
_STATUS = re.compile(r'"[^"]*" (\d{3}) ')


def missing() -> str:
    """Return what this machine lacks for it, in words."""
    return "" if program("lighttpd") else "needs lighttpd"


def start(stage: Stage, wiring: Wiring) -> None:
    """Write its configuration, start it, and wait until it serves."""
    limits = f', "connect-timeout" => {max(1, round(wiring.connect_s))}'
    limits += f', "read-timeout" => {max(1, round(wiring.answer_s))}' if wiring.answer_s else ""
    servers = []
    for server in wiring.servers:
        host, _, port = server.rpartition(":")
        servers.append(f'( "host" => "{host}", "port" => {port}{limits} )')
    is_stderr = wiring.log == "stderr"  # its standard output is /dev/null by then: it has no access log
    text = f"""\
server.modules = ( "mod_proxy", "mod_accesslog", "mod_status" )
server.document-root = "{stage.path("/run/front")}"
server.port = {stage.port(80)}
server.errorlog = "{"/dev/stderr" if is_stderr else stage.path(ERRORS)}"
accesslog.filename = "{"/dev/stdout" if is_stderr else stage.path(ACCESS)}"
$SERVER["socket"] == "{ADMIN}" {{
  status.statistics-url = "/server-statistics"
  accesslog.filename = ""
}}
$HTTP["host"] == "{HOST}" {{
  proxy.server = ( "" => ( {", ".join(servers)} ) )
}}
{wiring.own.get("site", "")}
"""
    config = stage.write(CONFIG, text)
    stage.path(DIRECTORY).mkdir(parents=True, exist_ok=True)
    process = stage.spawn(program("lighttpd"), "-D", "-f", config, log=f"{DIRECTORY}/out.log")
    stage.until(lambda: "errno" not in asked(f"{ADMIN}/server-statistics").lower(), "lighttpd serves", process)


def settle(stage: Stage) -> None:
    """Wait until its access log has a line for each request that was sent: it holds lines back for up to four seconds."""
    if not stage.path(ACCESS).exists():
        return
    sent = sum(done.times for done in stage.rounds)
    stage.until(
        lambda: sum(text.count(f"{_DOMAIN} - [") for text in logged(stage).values()) >= sent,
        "lighttpd has written its access log",
    )


def words(_: Stage) -> dict[str, str]:
    """Return what its counters say of the servers."""
    lines = asked(f"{ADMIN}/server-statistics").splitlines()
    return {"/server-statistics": "; ".join(line for line in lines if line.startswith("gw.backend") and ".died" in line)}


def failures(text: str) -> list[str]:
    """Return the messages of its error log about failed requests, and the statuses of its access log."""
    found: dict[str, None] = {}
    for line in text.splitlines():
        if match := _LINE.search(line):
            found[re.sub(r"\(fd: \d+\)|request sent: \d+|read\(\) \d+ \d+", "…", match[1])] = None
        elif (status := _STATUS.search(line)) and status[1] >= "499":
            found[f"access: {status[1]}"] = None
    return list(found)
