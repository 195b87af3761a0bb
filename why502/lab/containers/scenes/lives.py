"""Lives of containers: those that end, are killed, start in vain, are made anew, or are not ready yet."""

from __future__ import annotations

from why502.lab.containers.scene import Scene, Site
from why502.lab.containers.scenes.networks import name_server

STOPPED = frozenset({"backend-not-running"})
OOM = frozenset({"backend-oom-killed"})
FAILED_START = frozenset({"backend-startup-failure", "backend-crash-loop"})
COMPOSE = (
    "--label=com.docker.compose.project=shop",
    "--label=com.docker.compose.project.working_dir=/srv/shop",
    "--label=com.docker.compose.project.config_files=/srv/shop/compose.yaml",
)


def compose(service: str, depends_on: str = "") -> tuple[str, ...]:
    """Return the labels that `docker compose` (version 2) gives the container of a service."""
    own = (*COMPOSE, f"--label=com.docker.compose.service={service}", "--label=com.docker.compose.container-number=1")
    return (*own, f"--label=com.docker.compose.depends_on={depends_on}")


def shop(site: Site, *command: str, options: tuple[str, ...] = ()) -> None:
    """Make a network, an application `shop-api-1`, and a proxy in front; requests are answered."""
    site.network("shop_default")
    alias = ("--network-alias", "api")
    site.app("shop-api-1", "0.0.0.0:3000", *command, networks=("shop_default",), options=(*compose("api"), *alias, *options))
    edge = ("-p", "8080:80", *compose("edge", "api:service_started:false"))
    site.nginx("shop-edge-1", "proxy_pass http://api:3000;", networks=("shop_default",), options=edge)
    site.serves()


def oom_killed(site: Site, is_broken: bool) -> None:
    """A request makes the application need more memory than its container may have."""
    shop(site, options=("--memory", "48m"))
    if is_broken:
        site.ask("/hog/200")
        site.until(lambda: site.state("shop-api-1") == "exited", "the application was killed")
        site.fails()
    else:
        site.ask("/hog/1")


def oom_loop(site: Site, is_broken: bool) -> None:
    """The same, and the engine starts it again each time."""
    shop(site, options=("--memory", "48m", "--restart", "always"))
    for _ in range(2 if is_broken else 0):
        site.ask("/hog/200")
        site.until(lambda: site.listens("shop-api-1"), "the application is started again")


def stopped_by_hand(site: Site, is_broken: bool) -> None:
    """Somebody stopped the container; it does not listen to SIGTERM, so the engine killed it: exit code 137."""
    shop(site)
    if is_broken:
        site.call("stop", "-t", "1", "shop-api-1")
        site.fails()


def stopped_name(site: Site, is_broken: bool) -> None:
    """The same, behind a proxy that resolves the name for each request: it is unknown now."""
    site.network("shop")
    site.app("api", networks=("shop",))
    resolver = f"resolver {name_server(site, 'shop')} valid=1s; resolver_timeout 2s;"
    site.nginx("edge", "set $backend api; proxy_pass http://$backend:3000;", server=resolver, networks=("shop",))
    site.serves()
    if is_broken:
        site.call("stop", "-t", "0", "api")
        site.until(lambda: site.ask()[0] != 200, "the name is forgotten")
        site.fails(times=2)


def exited(site: Site, is_broken: bool) -> None:
    """The application ended by itself, with an error."""
    shop(site)
    if is_broken:
        site.ask("/exit/3")
        site.until(lambda: site.state("shop-api-1") == "exited", "the application ended")
        site.fails()


def crashed(site: Site, is_broken: bool) -> None:
    """The application died by a signal: exit code 139. Signals of its own do not end the first process of a container, so an
    init is there."""
    shop(site, options=("--init",))
    if is_broken:
        site.ask("/crash")
        site.until(lambda: site.state("shop-api-1") == "exited", "the application died")
        site.fails()


def restart_loop(site: Site, is_broken: bool) -> None:
    """The container was made anew with a command that ends at once, and is started again and again."""
    shop(site)
    if is_broken:
        alias = ("--network-alias", "api")
        command = ("sh", "-c", "echo 'Error: Cannot find module /app/server.js' >&2; exit 1")
        site.call("rm", "-f", "shop-api-1")
        again = (*compose("api"), *alias, "--restart", "always")
        site.run("shop-api-1", *command, networks=("shop_default",), options=again)
        site.until(lambda: restarts(site, "shop-api-1") >= 3, "it was started again")
        site.fails(times=2)


def restarts(site: Site, name: str) -> int:
    """Return how often the engine started a container again."""
    told = site.call("inspect", "-f", "{{.RestartCount}}", name, is_checked=False)
    return int(told) if told.isdigit() else 0


def wrong_command(site: Site, is_broken: bool) -> None:
    """The container was made anew with a command that does not exist in its image: exit code 127."""
    shop(site)
    if is_broken:
        site.call("rm", "-f", "shop-api-1")
        site.call(
            "run", "-d", "--name", "shop-api-1", "--network", "shop_default", *compose("api"), "--network-alias", "api",
            "lab", "serverd", "--port", "3000", is_checked=False,
        )  # fmt: skip
        site.until(lambda: site.state("shop-api-1") in ("created", "exited", "configured"), "it did not start")
        site.fails(times=2)


def recreated(site: Site, is_broken: bool) -> None:
    """The container was made anew and has another address; the proxy resolved the name when it started."""
    shop(site)
    if is_broken:
        site.call("rm", "-f", "shop-api-1")
        site.run("shop-mail-1", "sleep", "600", networks=("shop_default",), options=compose("mail"))
        site.app("shop-api-1", networks=("shop_default",), options=(*compose("api"), "--network-alias", "api"))
        site.fails(times=2)


def recreated_unassigned(site: Site, is_broken: bool) -> None:
    """The same, and nobody has the old address now."""
    shop(site)
    if is_broken:
        site.call("rm", "-f", "shop-api-1")
        site.run("shop-mail-1", "sleep", "600", networks=("shop_default",), options=compose("mail"))
        site.app("shop-api-1", networks=("shop_default",), options=(*compose("api"), "--network-alias", "api"))
        site.call("rm", "-f", "shop-mail-1")
        site.fails(times=2)


def not_ready(site: Site, is_broken: bool) -> None:
    """The container is started again and takes a few seconds until it listens; the proxy sends to it at once."""
    site.network("shop_default", "--subnet", "172.29.0.0/24")
    begins = ("sh", "-c", "sleep 4; exec python3 /app/server.py 0.0.0.0:3000")
    options = (*compose("api"), "--network-alias", "api", "--ip", "172.29.0.20")
    site.run("shop-api-1", *begins, networks=("shop_default",), options=options)
    site.until(lambda: site.listens("shop-api-1"), "it listens")
    edge = ("-p", "8080:80", *compose("edge", "api:service_started:false"))
    site.nginx("shop-edge-1", "proxy_pass http://api:3000;", networks=("shop_default",), options=edge)
    site.serves()
    if is_broken:
        site.call("restart", "-t", "0", "shop-api-1")
        site.fails()
        site.until(lambda: site.listens("shop-api-1"), "it is ready")
        site.serves()


def name_unknown_at_start(site: Site, is_broken: bool) -> None:
    """The proxy does not start: the name of a container that has ended is unknown."""
    shop(site)
    if is_broken:
        site.call("rm", "-f", "shop-edge-1")
        site.call("stop", "-t", "0", "shop-api-1")
        edge = ("-p", "8080:80", "--restart", "always", *compose("edge", "api:service_started:false"))
        site.nginx("shop-edge-1", "proxy_pass http://api:3000;", networks=("shop_default",), options=edge, awaits=False)
        site.until(lambda: restarts(site, "shop-edge-1") >= 1 or site.state("shop-edge-1") == "exited", "the proxy ended")
        site.fails()


def health_check_wrong(site: Site, is_broken: bool) -> None:
    """The health check calls a program that the image lacks; the proxy waits for it, as compose has it, and is never started."""
    site.network("shop_default")
    probe = "curl -f http://127.0.0.1:3000/" if is_broken else "wget -q -O /dev/null http://127.0.0.1:3000/"
    check = ("--health-cmd", probe, "--health-interval", "1s", "--health-retries", "1", "--health-timeout", "2s")
    options = (*compose("api"), "--network-alias", "api", *check)
    site.app("shop-api-1", networks=("shop_default",), options=options)
    edge = ("-p", "8080:80", *compose("edge", "api:service_healthy:false"))
    if not is_broken:
        site.until(lambda: health(site, "shop-api-1") == "healthy", "it is healthy")
        site.nginx("shop-edge-1", "proxy_pass http://api:3000;", networks=("shop_default",), options=edge)
        site.serves()
        return
    site.until(lambda: health(site, "shop-api-1") == "unhealthy", "it is unhealthy")
    path = site.config("shop-edge-1", "proxy_pass http://api:3000;")
    mount = ("-v", f"{path}:/etc/nginx/nginx.conf:ro")
    site.call("create", "--name", "shop-edge-1", "--network", "shop_default", *edge, *mount, "lab", "nginx", "-g", "daemon off;")
    site.fails()


def health(site: Site, name: str) -> str:
    """Return the health of a container; podman's checks run when they are asked for (elsewhere a systemd timer asks)."""
    if site.engine.program == "podman":
        site.call("healthcheck", "run", name, is_checked=False)
    return site.state(name, "Health.Status")


SCENES = (
    Scene("oom-killed", "the kernel killed it for its memory limit", OOM, oom_killed),
    Scene("oom-loop", "the kernel kills it again and again", OOM, oom_loop),
    Scene(
        "stopped-by-hand", "somebody stopped it; exit code 137", STOPPED, stopped_by_hand, never=frozenset({"backend-crashed"})
    ),
    Scene("stopped-name", "somebody stopped it; its name is unknown", STOPPED, stopped_name),
    Scene("exited", "it ended by itself with status 3", frozenset({"backend-crashed", "backend-not-running"}), exited),
    Scene("crashed", "it died by SIGSEGV: exit code 139", frozenset({"backend-crashed"}), crashed),
    Scene("restart-loop", "its command ends at once, and it is started again", frozenset({"backend-crash-loop"}), restart_loop),
    Scene(
        "wrong-command",
        "its command is not in the image: 127",
        frozenset({"backend-startup-failure"}),
        wrong_command,
        engines=("docker",),
    ),
    Scene(
        "never-started", "its command is not in the image; podman keeps no reason", STOPPED, wrong_command, engines=("podman",)
    ),
    Scene("recreated", "it has a new address; another container has the old one", frozenset({"stale-dns"}), recreated),
    Scene("recreated-unassigned", "it has a new address; nobody has the old one", frozenset({"stale-dns"}), recreated_unassigned),
    Scene(
        "not-ready", "it was announced before it served", frozenset({"deploy-termination-race"}), not_ready, engines=("docker",)
    ),
    Scene(
        "name-unknown-at-start",
        "the proxy does not start: a name is unknown",
        frozenset({"proxy-config-invalid", "dns-host-not-found"}),
        name_unknown_at_start,
    ),
    Scene(
        "health-check-wrong",
        "the health check's program is not in the image",
        frozenset({"health-check-misconfigured"}),
        health_check_wrong,
    ),
)
