"""What only Apache httpd does: sharing of workers, balancer members, its own answers, and the limits of its processes.

Source: the documentation of mod_proxy (workers, `max`, `acquire`, `failonstatus`, `status`), mod_proxy_balancer, core
(`ErrorDocument`), mod_alias (`Redirect`), mod_rewrite, and mpm_common (`MaxRequestWorkers`).
"""

from __future__ import annotations

from functools import partial

from why502.lab.gateways.scenes import APP, REQUESTS, SECOND, Play, Scene

_IN_GROUP = (APP, "app")
SOCKET = "/run/shop/app.sock"
_AT_SOCKET = (SOCKET, f"unix:{SOCKET}")


def shared(play: Play) -> None:
    """Give a second route to the same application a longer timeout, which the first one's worker does not take."""
    play.stage.backend(3000)
    first = f"ProxyPass /shop/ http://{APP}/ timeout=1\n  ProxyPass /sleep/ http://{APP}/sleep/ timeout=30"
    play.put(APP, own={"site": first})
    play.send("/sleep/2", patience_s=8.0)


def refused_status(play: Play) -> None:
    """Have a member taken out because of the status that it answers."""
    play.stage.backend(3000, "--status", "500")
    play.put(APP, own={"group": "ProxySet failonstatus=500 forcerecovery=Off", "member": "retry=60"})
    play.stage.until(lambda: play.send(times=1) == [503], "its status has taken it out")
    play.send()


def few_connections(play: Play) -> None:
    """Let each process have one connection to the application, and send more at once."""
    play.stage.backend(3000)
    limits = "StartServers 1\nServerLimit 1\nThreadsPerChild 25\nMaxRequestWorkers 25"
    play.put(APP, answer_s=5.0, own={"top": limits, "member": "max=1 acquire=300"})
    play.send("/sleep/1", at_once=REQUESTS)


def few_workers(play: Play) -> None:
    """Send more at once than all its workers take, to pages that take longer than the clients wait."""
    play.stage.backend(3000)
    limits = "StartServers 1\nServerLimit 1\nThreadsPerChild 4\nMaxRequestWorkers 4\nAsyncRequestWorkerFactor 1"
    play.put(APP, answer_s=5.0, own={"top": limits})
    play.send("/sleep/2", times=16, at_once=16, patience_s=1.5)


def unheard(play: Play) -> None:
    """Stop the application for a while, and send the messages about it to a syslog that nobody listens on."""
    process = play.stage.backend(3000)
    no_syslog = "InaccessiblePaths=/run/systemd/journal/dev-log"
    play.put(APP, own={"site": "ErrorLog syslog:local1", "unit": no_syslog})
    play.send()
    play.stage.stop(process)
    play.send()
    play.stage.backend(3000)
    play.stage.until(lambda: play.send(times=1) == [200], "the application serves again")
    play.send()


def own_page(play: Play) -> None:
    """Answer with a page of its own where nothing listens."""
    play.put(APP, own={"site": 'ErrorDocument 503 "Sorry"'})
    play.send()


def ruled(play: Play, *, rule: str, modules: str) -> None:
    """Have a rule answer in place of the application."""
    play.stage.backend(3000)
    play.put(APP, own={"site": rule, "modules": modules})
    play.send("/old/page")


def switched_off(play: Play, *, status: str) -> None:
    """Have every member of the balancer switched off in the configuration."""
    play.stage.backend(3000)
    play.stage.backend(3001)
    play.put(APP, SECOND, own={"member": f"status={status}"})
    play.send()


def own_and_passed(play: Play) -> None:
    """Serve a 503 of the application itself at one path; others succeed."""
    play.stage.backend(3000)
    play.put(APP, own={"site": "ProxyErrorOverride On\n  ErrorDocument 503 Sorry"})
    play.send()
    play.send("/status/503")


def in_directory(play: Play) -> None:
    """Have the owner of a served directory pass part of it on to a port where nothing listens, in `.htaccess`."""
    play.stage.backend(3000)
    root = play.stage.path("/srv/site")
    root.mkdir(parents=True, exist_ok=True)
    play.stage.write("/srv/site/.htaccess", f"RewriteEngine On\nRewriteRule ^cart/(.*)$ http://{SECOND}/$1 [P,L]\n")
    served = f"DocumentRoot {root}\n  <Directory {root}>\n    AllowOverride FileInfo\n    Require all granted\n  </Directory>"
    play.put(APP, own={"site": f"{served}\n  ProxyPass /cart !", "modules": "rewrite alias"})
    play.send("/cart/items")


def over_socket(play: Play, *, mode: str = "") -> None:
    """Pass requests to a Unix socket of this mode; without one there is no socket. The other route works."""
    play.stage.backend(3000)
    if mode:
        play.stage.backend(f"unix:{play.stage.path(SOCKET)}", "--mode", mode)
    play.put(APP, own={"site": f'ProxyPass /shop/ "unix:{play.stage.path(SOCKET)}|http://localhost/"'})
    play.send("/shop/")


def over_fastcgi(play: Play, *, modules: str = "") -> None:
    """Pass requests over FastCGI to an HTTP server."""
    play.stage.backend(3000)
    play.put(APP, own={"site": f"ProxyPass /feed/ fcgi://{APP}/", "modules": modules})
    play.send("/feed/")


SCENES = (
    Scene(
        name="htaccess-dead-port",
        message="a rule in `.htaccess` passes requests to a port where nothing listens",
        build=in_directory,
        causes=("backend-not-running", "wrong-port"),
        targets=(SECOND,),
    ),
    Scene(
        name="worker-shared",
        message="two routes share one worker, and the timeout of the first one holds for both",
        build=shared,
        causes=("proxy-worker-sharing",),
        also=("proxy-timeout-too-short", "backend-too-slow"),
    ),
    Scene(
        name="failonstatus",
        message="the application's errors had the member taken out (`failonstatus`)",
        build=refused_status,
        causes=("upstream-error-status", "application-error"),
        also=("all-upstreams-down",),
        targets=_IN_GROUP,
    ),
    Scene(
        name="connection-limit",
        message="more requests at once than `max` connections of a worker",
        build=few_connections,
        causes=("upstream-connection-limit",),
        also=("backend-too-slow", "workers-exhausted"),
    ),
    Scene(
        name="process-full",
        message="more requests at once than `MaxRequestWorkers`; clients wait and leave",
        build=few_workers,
        causes=("worker-connections-exhausted",),
        also=("client-closed-request", "backend-too-slow"),
        targets=(),
    ),
    Scene(
        name="errordocument",
        message="nothing listens, and an `ErrorDocument` hides Apache's own page",
        build=own_page,
        causes=("backend-not-running",),
    ),
    Scene(
        name="unheard",
        message="the application was down and is back; Apache's messages go to a syslog that nobody listens on",
        build=unheard,
        targets=(),  # what sent the 503s is in no log: nothing can be asserted
    ),
    Scene(
        name="redirect-503",
        message="`Redirect 503` answers",
        build=partial(ruled, rule="<Location /old>\n    Redirect 503\n  </Location>", modules="alias"),
        causes=("maintenance-response",),
        targets=(),
    ),
    Scene(
        name="rewrite-503",
        message="`RewriteRule … [R=503]` answers",
        build=partial(ruled, rule="RewriteEngine on\n  RewriteRule ^/old - [R=503,L]", modules="rewrite"),
        causes=("maintenance-response",),
        targets=(),
    ),
    Scene(
        name="members-off",
        message="every member of the balancer is disabled",
        build=partial(switched_off, status="+D"),
        causes=("maintenance-response",),
        also=("all-upstreams-down",),
        targets=(*_IN_GROUP, SECOND),
    ),
    Scene(
        name="members-drained",
        message="every member of the balancer is in drain",
        build=partial(switched_off, status="+N"),
        causes=("maintenance-response",),
        also=("all-upstreams-down",),
        targets=(*_IN_GROUP, SECOND),
    ),
    Scene(
        name="error-overridden",
        message="the application's own 503, with a page of Apache's (`ProxyErrorOverride`)",
        build=own_and_passed,
        causes=("upstream-error-status",),
    ),
    Scene(
        name="socket-missing",
        message="no socket is at the path of `unix:`",
        build=over_socket,
        causes=("unix-socket-missing",),
        targets=_AT_SOCKET,
    ),
    Scene(
        name="socket-closed",
        message="only root may use the socket of `unix:`",
        build=partial(over_socket, mode="0600"),
        causes=("unix-socket-permission",),
        targets=_AT_SOCKET,
    ),
    Scene(name="socket", message="no fault; a Unix socket", build=partial(over_socket, mode="0666"), targets=()),
    Scene(
        name="module-missing",
        message="`fcgi://` without mod_proxy_fcgi",
        build=over_fastcgi,
        causes=("proxy-module-missing",),
        targets=(),
    ),
    Scene(
        name="fastcgi-to-http",
        message="FastCGI to an HTTP server",
        build=partial(over_fastcgi, modules="proxy_fcgi"),
        causes=("wrong-protocol",),
    ),
)
