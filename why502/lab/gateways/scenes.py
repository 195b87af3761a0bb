"""The scenes: what is wrong behind a front, and which causes an experienced engineer would accept."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from why502.lab.backends import server
from why502.lab.certificates import authority, certificate
from why502.lab.gateways.front import Front, Wiring
from why502.lab.network import deny
from why502.lab.stage import Stage

APP = "127.0.0.1:3000"
SECOND = "127.0.0.1:3001"
REQUESTS = 6


@dataclass(slots=True)
class Play:
    """One scene while it is built: its stage, its front, and the form of the front's log."""

    stage: Stage
    front: Front
    log: str
    servers: tuple[str, ...] = field(default_factory=tuple)

    def put(self, *servers: str, **settings: object) -> None:
        """Start the front before these servers. Settings: those of `Wiring`."""
        self.servers = servers
        self.front.start(self.stage, Wiring(servers=servers, log=self.log, **settings))  # type: ignore[arg-type]

    def send(self, path: str = "/", *, times: int = REQUESTS, **options: object) -> list[int]:
        """Send requests through the front, and return the statuses."""
        return self.stage.send_many(times, path, **options)  # type: ignore[arg-type]


Build = Callable[[Play], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One way to break what is behind a front.

    `causes`: those that are right as the first answer; none for a control, in which no fault. `also`: those that hold as
    well, as their effect. `targets`: the addresses that it may name; none where there is no target to name.
    """

    name: str
    message: str
    build: Build
    causes: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    targets: tuple[str, ...] = (APP,)


def to_app(play: Play, *, options: tuple[str, ...] = (), path: str = "/", patience_s: float = 8.0, **settings: object) -> None:
    """Put the front before one application (options of `backends/server.py`), and send requests."""
    play.stage.backend(3000, *options)
    play.put(APP, **settings)
    play.send(path, patience_s=patience_s)


def to_nothing(play: Play, *servers: str, **settings: object) -> None:
    """Put the front before servers of which none listens."""
    play.put(*(servers or (APP,)), **settings)
    if settings.get("check"):
        play.stage.until(lambda: play.send(times=1) == [503], "its checks have failed")
    play.send()


def stopped(play: Play) -> None:
    """Stop an application that served."""
    process = play.stage.backend(3000)
    play.put(APP)
    play.send(times=3)
    play.stage.stop(process)
    play.send()


def behind_firewall(play: Play, *, rule: str) -> None:
    """Have a firewall treat connections to the application so."""
    play.stage.backend(3000)
    deny(play.stage, rule)
    play.put(APP)
    play.send(at_once=REQUESTS)


def over_tls(play: Play, *, name: str = "app.internal", is_expired: bool = False, trusted: str = "lab") -> None:
    """Put the front before a server whose certificate it verifies for app.internal."""
    ca = authority(play.stage)
    trust = ca if trusted == "lab" else authority(play.stage, trusted)
    options = ("--tls", certificate(play.stage, ca, name, is_expired=is_expired))
    to_app(play, options=options, is_tls=True, trusted=str(trust), server_name="app.internal")


def http_to_tls(play: Play) -> None:
    """Send plain HTTP to a TLS port."""
    to_app(play, options=("--tls", certificate(play.stage, authority(play.stage))))


def wrong_port(play: Play) -> None:
    """The application listens on another port than the one that the front connects to."""
    play.stage.backend(3001)
    play.put(APP)
    play.send()


def unknown_name(play: Play) -> None:
    """Name a server that no name server knows."""
    names = play.stage.backend("127.0.0.1:53", script="names.py")
    play.stage.resolver("nameserver 127.0.0.1\n")
    assert names.pid
    play.put("app.internal:3000")
    play.send()


def check_fails(play: Play) -> None:
    """Check a path that the application has not, while it serves all others."""
    play.stage.backend(3000)
    play.put(APP, check="/missing/health")
    play.stage.until(lambda: play.send(times=1) == [503], "its checks have failed")
    play.send()


def one_of_two(play: Play) -> None:
    """One of two servers is not running; the front has no check."""
    play.stage.backend(3001)
    play.put(APP, SECOND, leaves_out=True)
    play.send(times=2 * REQUESTS)


def left(play: Play) -> None:
    """Clients leave before a slow answer; other requests are answered at once."""
    play.stage.backend(3000)
    play.put(APP, answer_s=0)
    play.send(times=10)
    play.send("/sleep/3", at_once=REQUESTS, patience_s=0.5)


def no_route(play: Play) -> None:
    """Ask for a name that the front has no route for."""
    play.stage.backend(3000)
    play.put(APP)
    play.send(times=2)
    play.send(host="other.example")


def too_big(play: Play) -> None:
    """Answer with a header longer than the gateway accepts."""
    to_app(play, options=("--does", "big-header", "--header", str(play.front.HEADER_KIB + 512)))


def empty(play: Play) -> None:
    """Configure a group without any server."""
    play.put()
    play.send()


def waits_for_ever(play: Play) -> None:
    """Put a front without a limit before an application that never answers: clients leave."""
    to_app(play, options=("--does", "hang"), answer_s=0, patience_s=0.7)


def other_family(play: Play) -> None:
    """Have the application listen on the IPv6 loopback address only."""
    play.stage.backend("[::1]:3000")
    play.put(APP)
    play.send()


def frozen(play: Play) -> None:
    """Stop the application's process (SIGSTOP) while it serves: the kernel still accepts connections for it."""
    process = play.stage.backend(3000)
    play.put(APP)
    play.send(times=3)
    process.send_signal(signal.SIGSTOP)
    play.send(patience_s=8.0)


def name_servers(play: Play, *known: str, rcode: str = "SERVFAIL", **settings: object) -> None:
    """Name a server that the machine's name server answers for, or not: with this code for all other names."""
    play.stage.backend(3000)
    play.stage.backend("127.0.0.1:53", *known, "--rcode", rcode, script="names.py")
    play.stage.resolver("nameserver 127.0.0.1\n")
    play.put("app.internal:3000", **settings)
    play.send()


def does(what: str) -> Build:
    """Return what puts the front before an application that does this with each request."""
    return partial(to_app_that, what=what)


def to_app_that(play: Play, *, what: str) -> None:
    """Put the front before an application that does this with each request."""
    assert what in server.DOES
    to_app(play, options=("--does", what))


def _app(path: str = "/", *, is_tls: bool = False) -> Build:
    return partial(to_app, path=path, is_tls=is_tls)


_ALL = (
    Scene(name="healthy", message="no fault", build=_app(), targets=()),
    Scene(name="not-found", message="the application's own 404", build=_app("/missing/page"), targets=()),
    Scene(
        name="error-500",
        message="the application's own 500",
        build=_app("/status/500"),
        causes=("application-error", "upstream-error-status"),
    ),
    Scene(name="error-503", message="the application's own 503", build=_app("/status/503"), causes=("upstream-error-status",)),
    Scene(name="not-running", message="nothing listens on the port", build=to_nothing, causes=("backend-not-running",)),
    Scene(
        name="stopped",
        message="the application was killed while it was serving requests",
        build=stopped,
        causes=("backend-not-running",),
    ),
    Scene(
        name="rejected",
        message="a firewall rejects the connections",
        causes=("connect-rejected",),
        build=partial(behind_firewall, rule="reject with tcp reset"),
    ),
    Scene(
        name="dropped",
        message="a firewall drops the packets",
        causes=("connect-timeout",),
        build=partial(behind_firewall, rule="drop"),
    ),
    Scene(name="wrong-port", message="the application listens on another port", build=wrong_port, causes=("wrong-port",)),
    Scene(
        name="unknown-name",
        message="the server's name does not resolve",
        build=unknown_name,
        causes=("dns-host-not-found",),
        targets=("app.internal:3000",),
    ),
    Scene(
        name="hang", message="the application reads the request but never answers", build=does("hang"), causes=("backend-hung",)
    ),
    Scene(
        name="hang-without-limit",
        message="the application never answers, the gateway has no timeout, and clients disconnect",
        causes=("backend-hung",),
        build=waits_for_ever,
    ),
    Scene(
        name="slow",
        message="the application answers after twice the gateway's limit",
        build=_app("/sleep/2"),
        causes=("backend-too-slow", "proxy-timeout-too-short"),
    ),
    Scene(name="reset", message="the application resets the connection", build=does("reset"), causes=("connection-reset",)),
    Scene(name="closed", message="the application closes without an answer", build=does("close"), causes=("premature-close",)),
    Scene(
        name="closed-left-out",
        message="the application closes without an answer, and the gateway takes it out",
        build=partial(to_app, options=("--does", "close"), leaves_out=True),
        causes=("premature-close",),
        also=("all-upstreams-down",),
    ),
    Scene(
        name="hang-left-out",
        message="the application never answers, and the gateway takes it out",
        build=partial(to_app, options=("--does", "hang"), leaves_out=True),
        causes=("backend-hung",),
        also=("all-upstreams-down",),
    ),
    Scene(
        name="half-header",
        message="the application closes in the middle of the header",
        build=does("half"),
        causes=("premature-close",),
    ),
    Scene(
        name="truncated",
        message="the application closes in the middle of the body",
        build=does("truncate"),
        causes=("truncated-response",),
    ),
    Scene(name="invalid-header", message="a header line without a colon", build=does("bad-header"), causes=("invalid-response",)),
    Scene(
        name="no-status-line",
        message="an answer without a status line",
        build=does("no-status-line"),
        causes=("invalid-response",),
    ),
    Scene(
        name="header-too-big",
        message="a header longer than the gateway accepts",
        build=too_big,
        causes=("response-header-too-big",),
    ),
    Scene(name="http-to-tls", message="plain HTTP to a TLS port", build=http_to_tls, causes=("wrong-protocol",)),
    Scene(name="tls-to-http", message="TLS to a plain HTTP port", build=_app(is_tls=True), causes=("wrong-protocol",)),
    Scene(name="http-to-h2", message="HTTP/1 to a server that speaks HTTP/2 only", build=does("h2"), causes=("wrong-protocol",)),
    Scene(
        name="tls-expired",
        message="the certificate has expired",
        causes=("tls-verify-failed",),
        build=partial(over_tls, is_expired=True),
    ),
    Scene(
        name="tls-name",
        message="the certificate is for another name",
        causes=("tls-verify-failed",),
        build=partial(over_tls, name="old.internal"),
    ),
    Scene(
        name="tls-issuer",
        message="the certificate is from an authority that the gateway does not trust",
        causes=("tls-verify-failed",),
        build=partial(over_tls, trusted="other"),
    ),
    Scene(
        name="unhealthy",
        message="nothing listens, and the gateway's health checks have noticed",
        causes=("backend-not-running",),
        also=("all-upstreams-down",),
        build=partial(to_nothing, check="/"),
    ),
    Scene(
        name="check-wrong",
        message="the health check requests a path that does not exist",
        build=check_fails,
        causes=("health-check-misconfigured",),
        also=("all-upstreams-down",),
    ),
    Scene(
        name="all-down",
        message="neither of two servers is running, and health checks have noticed",
        build=lambda play: to_nothing(play, APP, SECOND, check="/"),
        causes=("backend-not-running", "all-upstreams-down"),
        targets=(APP, SECOND),
    ),
    Scene(name="one-of-two", message="one of two servers is not running", build=one_of_two, causes=("backend-not-running",)),
    Scene(name="empty", message="a group without a server", build=empty, causes=("no-upstream-members",), targets=()),
    Scene(
        name="no-route", message="a request for a name without a route", build=no_route, causes=("route-not-found",), targets=()
    ),
    Scene(
        name="client-left",
        message="clients disconnect before a slow answer",
        build=left,
        causes=("client-closed-request", "backend-too-slow"),
    ),
)
SCENES = {scene.name: scene for scene in _ALL}
