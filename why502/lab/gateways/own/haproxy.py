"""What only HAProxy does: observing, queues, its rules, its own answers, and servers in drain or maintenance.

Source: doc/configuration.txt, 5.2 (`observe`, `error-limit`, `on-error`, `maxconn`), 4.2 (`timeout queue`, `errorfile`,
`http-request deny`, `http-response deny`), 7.3 (stick tables); doc/management.txt, 9.3 (`set server … state`).
"""

from __future__ import annotations

from functools import partial

from why502.lab.certificates import authority, certificate
from why502.lab.gateways.fronts.haproxy import asked
from why502.lab.gateways.scenes import APP, REQUESTS, Play, Scene, name_servers, other_family, to_app

_PAGE = "/run/front/sorry.http"
_IN_GROUP = (APP, "app")  # the server, or its backend


def observed(play: Play) -> None:
    """Have a server taken out because its answers are errors, while its check passes."""
    play.stage.backend(3000, "--status", "500")
    play.put(APP, own={"server": "check inter 60s observe layer7 error-limit 3 on-error mark-down"})
    play.stage.until(lambda: play.send(times=1) == [503], "its errors have taken it out")
    play.send()


def queued(play: Play, *, queue: str = "timeout queue 300ms") -> None:
    """Send more at once than a server may have, to pages that take a second."""
    play.stage.backend(3000)
    play.put(APP, answer_s=5.0, own={"server": "maxconn 1", "backend": queue})
    play.send("/sleep/1", at_once=REQUESTS)


def full(play: Play) -> None:
    """Send more at once than the process takes at all: the others wait in the kernel, and leave."""
    play.stage.backend(3000)
    play.put(APP, answer_s=5.0, own={"global": "maxconn 2"})
    play.stage.keep_sending("/sleep/2", clients=16, patience_s=1.5)
    play.stage.until(lambda: "CurrConns: 2" in asked(play.stage, "show info"), "it has as many as it takes")


def own_page(play: Play) -> None:
    """Answer with a page of its own where nothing listens."""
    page = "HTTP/1.1 500 Sorry\r\nContent-Type: text/plain\r\nContent-Length: 6\r\nConnection: close\r\n\r\nSorry\n"
    path = play.stage.write(_PAGE, page)
    play.put(APP, own={"backend": f"errorfile 503 {path}"})
    play.send()


def ruled(play: Play, *, rule: str, times: int = REQUESTS) -> None:
    """Have a rule answer in place of the application."""
    play.stage.backend(3000)
    play.put(APP, own={"frontend": rule})
    play.send("/admin/page", times=times)


def ruled_answer(play: Play) -> None:
    """Have a rule refuse the application's answer."""
    play.stage.backend(3000)
    play.put(APP, own={"backend": "http-response deny if { status 404 }"})
    play.send("/missing/page")


def switched(play: Play, *, state: str) -> None:
    """Set the server's state through the runtime socket, as an administrator does, and forget it."""
    play.stage.backend(3000)
    play.put(APP)
    play.send(times=2)
    assert asked(play.stage, f"set server app/app1 state {state}").strip() == ""
    play.send()


def another_check(play: Play, *, server: str, backend: str = "") -> None:
    """Check something that the application does not have, while it serves."""
    play.stage.backend(3000)
    play.put(APP, own={"server": f"check inter 200ms fall 1 rise 2 {server}", "backend": backend})
    play.stage.until(lambda: play.send(times=1) == [503], "its checks have failed")
    play.send()


def failed_check(play: Play, code: str) -> None:
    """Wait until the check has failed with this code, and send requests."""
    play.stage.until(lambda: code in asked(play.stage, "show stat"), f"its check has failed with {code}")
    play.send()


def unverified_check(play: Play, *, is_expired: bool = False, trusted: str = "lab") -> None:
    """Check a server whose certificate is not one that the check accepts."""
    ca = authority(play.stage)
    trust = ca if trusted == "lab" else authority(play.stage, trusted)
    play.stage.backend(3000, "--tls", certificate(play.stage, ca, "app.internal", is_expired=is_expired))
    play.put(APP, is_tls=True, trusted=str(trust), server_name="app.internal", check="/")
    failed_check(play, "L6RSP")


def unanswered_check(play: Play, *, code: str, is_tls: bool = False) -> None:
    """Check a server that accepts connections and says nothing."""
    play.stage.backend(3000, "--does", "hang")
    play.put(APP, is_tls=is_tls, check="/")
    failed_check(play, code)


def to_missing_group(play: Play) -> None:
    """Choose the backend by a name from the request, which no backend has."""
    play.stage.backend(3000)
    play.put(APP, own={"frontend": "use_backend %[req.hdr(host),lower,word(1,.)]"})
    play.send()


def own_name_servers(play: Play, *known: str, port: int = 53) -> None:
    """Look the server's name up with HAProxy's own `resolvers`, whose name server listens on port 53."""
    section = f"resolvers dns\n    nameserver local 127.0.0.1:{port}\n    hold valid 2s"
    name_servers(play, *known, own={"global": section, "server": "resolvers dns"})


SCENES = (
    Scene(
        name="observed",
        message="the application's errors had the server taken out (`observe layer7`, `on-error mark-down`)",
        build=observed,
        causes=("upstream-error-status", "application-error"),
        also=("all-upstreams-down",),
        targets=_IN_GROUP,
    ),
    Scene(
        name="queue-timeout",
        message="requests waited for the server longer than `timeout queue`",
        build=queued,
        causes=("upstream-connection-limit",),
        also=("backend-too-slow", "workers-exhausted"),
        targets=_IN_GROUP,
    ),
    Scene(
        name="queue-default",
        message="the same without `timeout queue`: the connect timeout ends it",
        build=partial(queued, queue=""),
        causes=("upstream-connection-limit",),
        also=("backend-too-slow", "workers-exhausted"),
        targets=_IN_GROUP,
    ),
    Scene(
        name="process-full",
        message="more connections than the global `maxconn`; clients wait and leave",
        build=full,
        causes=("worker-connections-exhausted",),
        also=("client-closed-request", "backend-too-slow"),
        targets=(),
    ),
    Scene(
        name="errorfile",
        message="nothing listens, and an `errorfile` has another status than the log",
        build=own_page,
        causes=("backend-not-running",),
    ),
    Scene(
        name="denied",
        message="`http-request deny` answers 503",
        build=partial(ruled, rule="http-request deny deny_status 503 if { path_beg /admin }"),
        causes=("denied-by-rule",),
        targets=(),
    ),
    Scene(
        name="returned",
        message="`http-request return` answers 503",
        build=partial(ruled, rule="http-request return status 503 if { path_beg /admin }"),
        causes=("maintenance-response",),
        targets=(),
    ),
    Scene(
        name="limited",
        message="a stick table counts too many requests of one client",
        build=partial(
            ruled,
            rule=(
                "stick-table type ip size 10k expire 60s store http_req_rate(60s)\n"
                "http-request track-sc0 src\n"
                "http-request deny deny_status 503 if { sc_http_req_rate(0) gt 3 }"
            ),
            times=10,
        ),
        causes=("rate-limited",),
        targets=(),
    ),
    Scene(
        name="answer-denied",
        message="`http-response deny` refuses the application's answer",
        build=ruled_answer,
        causes=("denied-by-rule",),
        targets=(),
    ),
    Scene(
        name="drained",
        message="the only server is in drain",
        build=partial(switched, state="drain"),
        causes=("maintenance-response",),
        also=("all-upstreams-down",),
        targets=_IN_GROUP,
    ),
    Scene(
        name="in-maintenance",
        message="the only server is in maintenance, set through the runtime socket",
        build=partial(switched, state="maint"),
        causes=("maintenance-response",),
        also=("all-upstreams-down",),
        targets=_IN_GROUP,
    ),
    Scene(
        name="check-port",
        message="the check asks another port than the one that serves",
        build=partial(another_check, server="port 3009"),
        causes=("health-check-misconfigured",),
        also=("all-upstreams-down",),
        targets=_IN_GROUP,
    ),
    Scene(
        name="check-text",
        message="the check expects a text that the application does not send",
        build=partial(another_check, server="", backend="option httpchk GET /\nhttp-check expect string all-is-well"),
        causes=("health-check-misconfigured",),
        also=("all-upstreams-down",),
        targets=_IN_GROUP,
    ),
    Scene(
        name="check-issuer",
        message="the check does not trust the authority of the server's certificate",
        build=partial(unverified_check, trusted="other"),
        causes=("tls-verify-failed",),
        also=("all-upstreams-down",),
    ),
    Scene(
        name="check-expired",
        message="the check refuses the server's certificate, which has expired",
        build=partial(unverified_check, is_expired=True),
        causes=("tls-verify-failed",),
        also=("all-upstreams-down",),
    ),
    Scene(
        name="check-silent",
        message="the application accepts the check's connection and says nothing",
        build=partial(unanswered_check, code="L7TOUT"),
        causes=("backend-hung",),
        also=("all-upstreams-down",),
    ),
    Scene(
        name="check-silent-tls",
        message="the application accepts the check's connection and never answers its TLS handshake",
        build=partial(unanswered_check, code="L6TOUT", is_tls=True),
        causes=("backend-hung",),
        also=("all-upstreams-down",),
    ),
    Scene(
        name="group-missing",
        message="`use_backend` computes the name of a backend that does not exist",
        build=to_missing_group,
        causes=("route-target-missing", "route-not-found"),
        targets=(),
    ),
    Scene(
        name="resolvers-dead",
        message="the name server of `resolvers` does not run, and the machine's own does not know the name",
        build=partial(own_name_servers, port=5353),
        causes=("dns-resolver-failure",),
        also=("all-upstreams-down",),
        targets=("app.internal:3000", "app"),
    ),
    Scene(
        name="resolvers",
        message="no fault; a name of `resolvers`",
        build=lambda play: own_name_servers(play, "app.internal=127.0.0.1"),
        targets=(),
    ),
    Scene(
        name="h2-to-http",
        message="`proto h2` to a server that speaks HTTP/1 only",
        build=partial(to_app, own={"server": "proto h2"}),
        causes=("wrong-protocol",),
    ),
    Scene(
        name="other-family",
        message="the application listens on [::1] only",
        build=other_family,
        causes=("wrong-address",),
    ),
)
