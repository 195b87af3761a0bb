"""Apache httpd as a front, of Debian's package: mod_proxy with a balancer, its error log, and access logs in several forms.

Source: the documentation of mod_proxy, mod_proxy_balancer, mod_proxy_hcheck, mod_status, mod_log_config and core.
"""

from __future__ import annotations

import re

from why502.lab.gateways.front import HOST, JOURNALS, Wiring, asked, written_to_journal
from why502.lab.gateways.front import LOGS as DIRECTORY
from why502.lab.isolation import program
from why502.lab.managers import journal, unit
from why502.lab.stage import Stage

KIND = "apache"
LOGS = ("combined", "vhost", "json", "common", "short", "stderr", *sorted(JOURNALS))
HEADER_KIB = 0
LACKS = {
    "hang-without-limit": "it has no way to wait for ever: ProxyTimeout is 60 s unless set",
    "header-too-big": "it takes a header of any length; only a line of it has a limit",
    "no-route": "a request without a route is for a file",
    "client-left": "its log does not tell that a client left",
    "syslog-journal/unheard": "its access log needs the syslog that is to be missing",
}
ALIKE: dict[str, tuple[str, ...]] = {}
_PLACES = frozenset({"modules", "top", "site", "member", "group", "unit"})
CONFIG = "/run/front/httpd.conf"  # /etc is the machine's own
ADMIN = "127.0.0.1:8081"
MODULES = (
    *("mpm_event", "authz_core", "proxy", "proxy_http", "proxy_balancer", "proxy_hcheck", "watchdog", "lbmethod_byrequests"),
    *("slotmem_shm", "ssl", "socache_shmcb", "status"),
)
_BUILT_IN = frozenset({"watchdog"})  # into Debian's httpd
_FORMATS = {
    "combined": r"%h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-Agent}i\"",
    "vhost": r"%v:%p %h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-Agent}i\"",
    "json": r"{\"time\":\"%{%Y-%m-%dT%H:%M:%S%z}t\",\"client\":\"%a\",\"host\":\"%V\",\"request\":\"%r\",\"status\":%>s,"
    r"\"bytes\":%O,\"duration_us\":%D,\"worker\":\"%{BALANCER_WORKER_NAME}e\"}",
    "common": r"%h %l %u %t \"%r\" %>s %b",
    "short": r"%h %l %u %t \"%r\" %>s %b",
    "stderr": r"%h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-Agent}i\"",
    "journal": r"%h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-Agent}i\"",
    "syslog-journal": r"%h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-Agent}i\"",
}
_SHORT = '\nErrorLogFormat "[%{u}t] [%-m:%l] [pid %P:tid %T] %7F: %E: [client\\\\ %a] %M"'
_LINE = re.compile(r"(?:\[client [^\]]*\] )?(AH\d{5}: .*|\(\d+\).*)")
_OF_START = re.compile(r"AH0(?:0489|0094|0558|0493|2282|18\d\d)\b")
_STATUS = re.compile(r'"[^"]*?" (\d{3}) |\\?"status\\?":(\d{3})')

_UNIT = "apache2"
# Of the error log and the access log. Below a unit httpd cannot open /dev/stderr, which is a socket there.
_LOG_TO = {
    "stderr": ("/dev/stderr", "/dev/stdout"),
    "journal": ('"|/usr/bin/systemd-cat -t httpd"', '"|/usr/bin/systemd-cat -t httpd-access"'),
    "syslog-journal": ("syslog:local1", '"|/usr/bin/logger -t httpd-access -p local1.info"'),
}


def settle(stage: Stage) -> None:
    """Wait for the journal where its logs go there: it writes the lines of each request when that ends."""
    if stage.is_machine:
        answered = sum(done.times for done in stage.rounds if not done.statuses & {0, 499})  # 0, 499: a client did not wait
        stage.until(lambda: journal(stage, _UNIT).count(" HTTP/1.") >= answered, "its pipes have passed on each request")
        written_to_journal(stage, _UNIT)


def missing() -> str:
    """Return what this machine lacks for it, in words."""
    return "" if program("apache2") else "needs apache2"


def start(stage: Stage, wiring: Wiring) -> None:
    """Write its configuration, start it, and wait until it serves."""
    scheme = "https" if wiring.is_tls else "http"
    check = f" hcmethod=GET hcuri={wiring.check} hcinterval=200ms hcpasses=1 hcfails=1" if wiring.check else ""
    limit = f" timeout={wiring.answer_s:g}" if wiring.answer_s else ""
    own = {place: wiring.own.get(place, "") for place in _PLACES}
    options = f"connectiontimeout={wiring.connect_s:g}{limit} retry=1 {own['member']}".rstrip()
    if len(wiring.servers) == 1 and not check and not own["group"]:
        group, target = "", f"{scheme}://{wiring.servers[0]}/ {options}"
    else:
        members = "".join(f"\n    BalancerMember {scheme}://{server} {options}{check}" for server in wiring.servers)
        group, target = f"<Proxy balancer://app>{members}\n{own['group']}\n</Proxy>", "balancer://app/"
    tls = "\n  SSLProxyEngine on" if wiring.is_tls else ""
    if wiring.trusted:
        tls += f"\n  SSLProxyVerify require\n  SSLProxyCACertificateFile {wiring.trusted}\n  SSLProxyCheckPeerName on"
        tls += f"\n  RequestHeader set Host {wiring.server_name}\n  ProxyPreserveHost on"
    elif wiring.is_tls:
        tls += "\n  SSLProxyCheckPeerName off"
    modules = (*MODULES, "headers", *own["modules"].split())
    loads = "\n".join(
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in modules if name not in _BUILT_IN
    )
    files = (str(stage.path(f"{DIRECTORY}/error.log")), str(stage.path(f"{DIRECTORY}/access.log")))
    errors, requests = _LOG_TO.get(wiring.log, files)
    text = f"""\
ServerRoot /etc/apache2
{loads}
User www-data
Group www-data
PidFile {stage.path("/run/front/httpd.pid")}
DefaultRuntimeDir {stage.path("/run/front")}
Mutex posixsem
ServerName gate
Listen {stage.port(80)}
Listen {ADMIN}
ProxyStatus On
LogLevel warn{_SHORT if wiring.log == "short" else ""}
{own["top"]}
{group}
LogFormat "{_FORMATS[wiring.log]}" own
ErrorLog {errors}
<VirtualHost *:{stage.port(80)}>
  ServerName other.invalid
  <Location />
    Require all denied
  </Location>
</VirtualHost>
<VirtualHost *:{stage.port(80)}>
  ServerName {HOST}
  CustomLog {requests} own{tls}
  {own["site"]}
  ProxyPass / {target}
</VirtualHost>
<VirtualHost {ADMIN}>
  <Location /server-status>
    SetHandler server-status
    ProxyPass !
  </Location>
  <Location /balancer-manager>
    SetHandler balancer-manager
  </Location>
</VirtualHost>
"""
    config = stage.write(CONFIG, text)
    stage.path(DIRECTORY).mkdir(parents=True, exist_ok=True)
    if stage.is_machine:
        command = f"{program('apache2')} -DFOREGROUND -f {config}"
        unit(stage, command, f"KillMode=mixed\n{own['unit']}".rstrip(), name=_UNIT)
        process = None
    else:
        process = stage.spawn(program("apache2"), "-DFOREGROUND", "-f", config, log=f"{DIRECTORY}/out.log")
    stage.until(lambda: "Apache" in asked(f"{ADMIN}/server-status?auto"), "Apache serves", process)


def words(_: Stage) -> dict[str, str]:
    """Return what mod_status says of the balancer's members."""
    lines = asked(f"{ADMIN}/server-status?auto").splitlines()
    states = [line.partition(": ")[2].strip() for line in lines if re.match(r"ProxyBalancer\[\d+\]Worker\[\d+\]Status: ", line)]
    return {"/server-status?auto": "; ".join(states)}


def failures(text: str) -> list[str]:
    """Return the messages of its error log about failed requests, and the statuses of its access log."""
    found: dict[str, None] = {}
    for line in text.splitlines():
        if status := _STATUS.search(line):
            code = status[1] or status[2]
            if code >= "499":
                found[f"access: {code}"] = None
        elif (match := _LINE.search(line)) and not _OF_START.search(line):
            found[re.sub(r"\[(?:client|remote) [^\]]*\] ", "", match[1])] = None
    return list(found)
