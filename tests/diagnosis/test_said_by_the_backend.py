"""Evidence from the backend, the socket or the configuration beside the gateway's error log: 431, a lost socket file,
files that changed.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from why502.diagnosis.engine import diagnose
from why502.diagnosis.ways import placed, ways_of
from why502.gateways.apache import config as apache
from why502.gateways.apache.logs import httpd
from why502.gateways.caddy import logs as caddy
from why502.gateways.envoy.codes import PRODUCT as ENVOY
from why502.gateways.varnish import config as varnish
from why502.model.config import Peer, Position, Route, Setting
from why502.model.file_kind import FileKind
from why502.model.finding import ASSERTED, Finding, Verdict
from why502.model.logs import LogFile, LogSummary, PathTraffic, Symptom, Tally
from why502.model.probe import Probe
from why502.model.process import Process
from why502.model.proxy import ConfigFile, ConfigProblem, Proxy
from why502.model.remedy import Run
from why502.model.service import PhpPool, Service
from why502.model.snapshot import Event, Listener, Snapshot, SocketPath
from why502.model.target import Target

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
PLACE = Position(file="/etc/nginx/sites-enabled/shop", line=9)
APP = Target(host="127.0.0.1", port=3000)
SOCKET = Target.unix("/run/sites/shop.sock")


def _route(target: Target = APP, **more: object) -> Route:
    return Route(location="/", at=PLACE, peers=(Peer(name=str(target), target=target),), **more)  # type: ignore[arg-type]


def _first(here: Snapshot) -> Finding | None:
    return next((finding for finding in diagnose(here).findings if finding.confidence >= ASSERTED), None)


@pytest.mark.parametrize(
    ("statuses", "refused_since", "expected"),
    [
        ({"431": 17}, 17, "request-header-too-big"),
        ({"431": 2, "200": 90}, 0, None),
        ({"413": 17}, 17, "request-too-large"),  # nginx itself may answer that
    ],
)
def test_request_headers_that_the_backend_finds_too_large(
    statuses: dict[str, int], refused_since: int, expected: str | None
) -> None:
    path = PathTraffic(
        request="GET /account", location="/", at=PLACE, statuses=statuses, clients=8, refused_since=refused_since, last_refused=AT
    )
    logs = LogSummary(paths=(path,), requests=92, by_status=statuses, has_access=True)
    first = _first(Snapshot(taken_at=AT, proxies=(Proxy(pid=3, routes=(_route(),)),), logs=logs))
    assert (first.cause if first else None) == expected
    assert first is None or first.target == (APP if expected == "request-header-too-big" else None)


def _lost(*, at_path: bool, running: bool = True, other: str = "sites") -> Snapshot:
    tally = Tally(symptom=Symptom.SOCKET_PATH_MISSING, target=SOCKET, status=502, count=9, first=AT, last=AT)
    stopped = Event(
        symptom=Symptom.PROCESS_STOPPED,
        message="Stopped cms.",
        detail="Stopped cms.",
        unit="cms.service",
        source="journalctl",
        at=AT - timedelta(seconds=5),
    )
    services = (
        Service(
            manager="systemd",
            name="shop.service",
            is_running=running,
            state="active" if running else "inactive",
            targets=(SOCKET,),
            settings={"RuntimeDirectory": "sites"},
        ),
        Service(manager="systemd", name="cms.service", is_running=True, state="active", settings={"RuntimeDirectory": other}),
    )
    return Snapshot(
        taken_at=AT,
        proxies=(Proxy(pid=3, routes=(_route(SOCKET),)),),
        listeners=(Listener(target=SOCKET, pids=(7,), is_at_path=at_path),),
        processes=(Process(pid=7, name="gunicorn", unit="shop.service"),),
        socket_paths=(SocketPath(path=SOCKET.path, kind=FileKind.MISSING),),
        services=services,
        events=(stopped,),
        logs=LogSummary(tallies=(tally,), requests=60, has_access=True),
    )


def test_a_socket_file_that_was_removed_under_its_application() -> None:
    first = _first(_lost(at_path=False))
    assert first is not None and first.cause == "unix-socket-missing"
    assert first.message.startswith("/run/sites/shop.sock was removed while shop.service still listens on it")
    assert "also the RuntimeDirectory of cms.service, which stopped at 05:06:02" in first.message
    assert first.remedies[0].message.startswith("restart shop.service")
    (again,) = first.remedies[0].steps
    assert isinstance(again, Run) and again.argv == ("systemctl", "restart", "shop.service")


def test_a_directory_of_its_own_is_nobody_elses() -> None:
    first = _first(_lost(at_path=False, other="cms"))
    assert first is not None and first.cause == "unix-socket-missing" and "RuntimeDirectory" not in first.message


def test_a_socket_left_by_a_stopped_service_is_not_a_lost_socket() -> None:
    first = _first(_lost(at_path=False, running=False))
    assert first is not None and first.cause == "backend-not-running"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "proxy-config-not-loaded"),
        ({"test": "failed"}, None),
        ({"loaded_at": AT + timedelta(seconds=9)}, None),  # the failures are older than the load
        ({"routes": (_route(Target(host="127.0.0.1", port=6001)),)}, None),  # a file refers to it
        ({"routes": (_route(), Route(location="/x", has_variables=True))}, None),  # a variable may refer to it
        ({"workers": (Process(pid=9, argv=("nginx: worker process is shutting down",)),)}, None),
    ],
)
def test_a_target_that_no_file_names_any_more(changes: dict[str, object], expected: str | None) -> None:
    gone = Target(host="127.0.0.1", port=6001)
    tally = Tally(symptom=Symptom.CONNECT_REFUSED, target=gone, status=502, count=20, first=AT, last=AT)
    fields: dict[str, object] = {
        "pid": 3,
        "test": "ok",
        "routes": (_route(),),
        "loaded_at": AT - timedelta(minutes=1),
        "files": (ConfigFile(path="/etc/nginx/active.conf", modified_at=AT),),
    } | changes
    proxy = Proxy(**fields)  # type: ignore[arg-type]
    here = Snapshot(taken_at=AT, proxies=(proxy,), listeners=(), logs=LogSummary(tallies=(tally,), requests=60, has_access=True))
    first = _first(here)
    assert (first is not None and first.cause == "proxy-config-not-loaded") == (expected is not None)


@pytest.mark.parametrize(
    ("message", "setting", "expected"),
    [
        ('SSL_CTX_use_PrivateKey("/e.key") failed (SSL: key values mismatch)', "proxy_ssl_certificate_key", True),
        ('cannot load certificate key "/e.key": BIO_new_file() failed', "grpc_ssl_certificate_key", True),
        ('cannot load certificate "/e.key": BIO_new_file() failed', "ssl_certificate", False),
        ('cannot load certificate "/other.pem": BIO_new_file() failed', "proxy_ssl_certificate", False),
        ('unknown directive "foo" in /etc/nginx/nginx.conf:3', "proxy_ssl_certificate", False),
    ],
)
def test_the_certificate_for_backends_that_keeps_nginx_from_starting(message: str, setting: str, expected: bool) -> None:
    route = _route(settings={setting: (Setting(args=("/e.key",), at=PLACE),)})
    proxy = Proxy(
        routes=(route,), test="failed", problems=(ConfigProblem(message=message, source="nginx -t"),), unit_state="failed"
    )
    first = _first(Snapshot(taken_at=AT, proxies=(proxy,), logs=LogSummary()))
    assert first is not None
    assert first.cause == ("proxy-client-certificate-unusable" if expected else "proxy-not-running")


HEAD = "[Sun Nov 22 20:18:22.852735 2026] [core:alert] [pid 279:tid 1] [client 203.0.113.26:4000] /var/www/shop/.htaccess: "


@pytest.mark.parametrize(
    ("message", "symptom", "advice"),
    [
        ("Invalid command 'Header', perhaps misspelled or defined by a module not included in the server configuration",
        Symptom.MODULE_MISSING, "a2enmod headers"),
        (("Invalid command 'php_value', perhaps misspelled or defined by a module not included in the server "
                "configuration"), Symptom.MODULE_MISSING, ".user.ini"),
        ("Invalid command 'Hedaer', perhaps misspelled or defined by a module not included in the server configuration",
        Symptom.MODULE_MISSING, "correct the name of Hedaer"),
        ("Options not allowed here", Symptom.CONFIG_INVALID, ""),
        ("RewriteRule: cannot compile regular expression '^(*.$'", Symptom.CONFIG_INVALID, ""),
    ],
)  # fmt: skip
def test_htaccess_files(message: str, symptom: Symptom, advice: str) -> None:
    record = httpd.parse(HEAD + message)
    assert record is not None and (record.symptom, record.status) == (symptom, 500)
    tally = Tally(
        symptom=symptom, proxy="apache", status=500, detail=record.detail, named=record.causes[0], count=9, first=AT, last=AT
    )
    apache = Proxy(kind="apache", pid=3, test="ok", routes=(Route(proxy="apache"),))
    first = _first(Snapshot(taken_at=AT, proxies=(apache,), logs=LogSummary(tallies=(tally,), requests=60, has_access=True)))
    assert first is not None
    assert first.cause == ("proxy-module-missing" if symptom is Symptom.MODULE_MISSING else "proxy-config-invalid")
    assert advice in (first.remedies[0].message if first.remedies else "")


def test_a_scheme_without_a_handler_is_of_the_route_with_that_scheme() -> None:
    line = (
        "[Sun Nov 22 20:18:39.1 2026] [proxy:warn] [pid 2:tid 1] [client 203.0.113.9:4000] AH01144: No protocol handler was valid"
        " for the URL /stats/ (scheme 'http'). If you are using a DSO version of mod_proxy, make sure the proxy "
        "submodules are included"
    )
    record = httpd.parse(line)
    assert record is not None and record.symptom is not None
    assert (record.request, record.protocol) == ("GET /stats/", "http")
    text = (
        'ProxyPass "/stats/" "http://127.0.0.1:3032/"\n'
        '<FilesMatch "\\.php$">\nSetHandler "proxy:unix:/run/php/shop.sock|fcgi://shop.local"\n</FilesMatch>\n'
    )
    proxy = Proxy(kind="apache", pid=3, routes=apache.load(text, "/etc/apache2/apache2.conf").routes)
    tally = Tally(
        symptom=record.symptom, proxy="apache", protocol=record.protocol, status=500, requests=((record.request, 9),), count=9
    )
    assert [str(told.target) for told in placed((tally,), ways_of((proxy,)))] == ["127.0.0.1:3032"]


def test_a_crash_in_another_container_is_not_a_backend_crash() -> None:
    """The kernel also logs processes of all containers on this machine, and only with their names."""
    dead = Event(
        symptom=Symptom.PROCESS_CRASHED, message="php-fpm (pid 9): segfault", process="php-fpm", pid=9, source="dmesg", at=AT
    )
    pool = PhpPool(name="shop", file="/etc/php/pool.d/shop.conf", target=Target.unix("/run/php/shop.sock"), master_pid=4)
    logs = LogSummary(requests=60, by_status={"200": 60}, has_access=True)
    assert _first(Snapshot(taken_at=AT, proxies=(Proxy(pid=3),), php_pools=(pool,), events=(dead,), logs=logs)) is None


@pytest.mark.parametrize(("error", "expected"), [("context canceled", Verdict.HEALTHY), ("unexpected EOF", Verdict.PROBLEM)])
def test_downloads_that_users_of_caddy_cancel(error: str, expected: Verdict) -> None:
    line = (
        f'{{"level":"error","ts":1795381482.6,"logger":"http.handlers.reverse_proxy","msg":"aborting with incomplete respo'
        f'nse","error":"{error}"}}'
    )
    record = caddy.parse(line)
    assert record is not None and record.symptom is not None
    tally = Tally(symptom=record.symptom, proxy="caddy", phase=record.phase, count=9, first=AT, last=AT)
    route = Route(proxy="caddy", peers=(Peer(name=str(APP), target=APP),))
    probe = Probe(target=APP, request="GET /", status=200, at=AT)
    here = Snapshot(
        taken_at=AT,
        proxies=(Proxy(kind="caddy", pid=3, routes=(route,)),),
        probes=(probe,),
        logs=LogSummary(files=(LogFile(path="journalctl -u caddy.service"),), tallies=(tally,)),
    )
    assert diagnose(here).verdict is expected


THROTTLED = 'sub vcl_recv { if (vsthrottle.is_denied(client.identity, 15, 10s)) { return (synth(503, "Too many")); } }'
MAINTAINED = 'sub vcl_recv { if (req.url ~ "^/x") { return (synth(503, "Back soon")); } }'


@pytest.mark.parametrize(
    ("vcl", "expected"),
    [(THROTTLED, "rate-limited"), (MAINTAINED, "maintenance-response"), (THROTTLED + MAINTAINED, "maintenance-response")],
)
def test_responses_of_varnish_above_a_rate(vcl: str, expected: str) -> None:
    found = varnish.load(f'vcl 4.1; backend a {{ .host = "127.0.0.1"; .port = "3000"; }} {vcl}', "/etc/varnish/default.vcl")
    proxy = Proxy(kind="varnish", pid=3, routes=found.routes, upstreams=found.upstreams, answers=found.answers)
    tally = Tally(symptom=Symptom.OWN_STATUS, proxy="varnish", status=503, count=9, first=AT, last=AT)
    first = _first(Snapshot(taken_at=AT, proxies=(proxy,), logs=LogSummary(tallies=(tally,), requests=60, has_access=True)))
    assert first is not None and first.cause == expected


def test_limits_in_the_words_of_other_gateways() -> None:
    line = (
        "[Sun Nov 22 20:18:22.8 2026] [qos:error] [pid 2:tid 1] [client 203.0.113.9:4000] mod_qos(010): access denied,"
        " QS_LocRequestLimit* rule: /app(5), concurrent requests=6, c=203.0.113.9"
    )
    record = httpd.parse(line)
    assert record is not None and record.symptom is Symptom.RATE_LIMITED
    assert {name for name, code in ENVOY.codes.items() if code.symptom is Symptom.RATE_LIMITED} == {
        "RL",
        "request_rate_limited",
        "local_rate_limited",
    }
