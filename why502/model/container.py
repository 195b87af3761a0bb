"""Container: one container as its engine (Docker, podman) describes it, without the values of its environment."""

from __future__ import annotations

from datetime import datetime

from why502.model.base import Value
from why502.model.patterns import lazy
from why502.model.target import Target

KUBERNETES = "kubernetes"  # the engine of a pod's containers, whose names are NAMESPACE/POD/CONTAINER

_POOLS = lazy(r"172\.(?:1[6-9]|2\d|3[01])\.|10\.8[89]\.")


def is_pool_address(host: str) -> bool:
    """Return whether an address is in the default network pools of Docker and podman."""
    return _POOLS.match(host) is not None


class Attachment(Value, frozen=True, kw_only=True):
    """A container's place in one of its networks. `names`: those that the engine's name server knows it by in this network.

    The addresses are "" while it does not run.
    """

    network: str
    address: str = ""
    address_v6: str = ""
    gateway: str = ""
    names: tuple[str, ...] = ()


class Publication(Value, frozen=True, kw_only=True):
    """A TCP port of the container that the engine publishes on the machine."""

    inner: int
    outer: int
    host: str = ""  # the machine's address; "" for all


class HealthCheck(Value, frozen=True, kw_only=True):
    """A container's health check and its last result. `exit_code` and `output` are those of the last run; None if none ended."""

    status: str = ""  # starting, healthy, unhealthy
    argv: tuple[str, ...] = ()
    exit_code: int | None = None
    output: str = ""


class LabelledRoute(Value, frozen=True, kw_only=True):
    """A route for which a container asks a gateway by its labels. `server_names` and `locations` are as in UnusedRoute.

    `mistake`: what the gateway cannot use of these labels, in words.
    """

    gateway: str  # as in Proxy.kind
    name: str = ""  # of the route; "" if no label names one
    server_names: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()
    is_enabled: bool | None = None  # None: no label decides it, so that the gateway's default does
    mistake: str = ""


class ContainerEvent(Value, frozen=True, kw_only=True):
    """What the engine recorded about a container of this name: start, die, kill, oom, connect, disconnect…

    `code` is the exit status of `die` and the signal of `kill`.
    """

    at: datetime
    action: str
    code: int | None = None
    id: str = ""  # of the container: one of the same name may have been created again


class Container(Value, frozen=True, kw_only=True):
    """One container. Fields that only a detailed look shows are empty if `is_whole` is False."""

    engine: str  # docker, podman, kubernetes
    id: str
    name: str
    socket: str = ""  # the engine's unix socket
    owner_uid: int = 0  # the user whose engine it is
    image: str = ""
    image_id: str = ""  # its digest
    state: str = ""  # in the engine's terms: running, exited, created, restarting, paused, dead
    is_whole: bool = False
    pid: int | None = None
    network: str = ""  # inode of its network namespace if it is not ours
    network_mode: str = ""
    attachments: tuple[Attachment, ...] = ()
    exposed: tuple[int, ...] = ()
    published: tuple[Publication, ...] = ()
    health: HealthCheck | None = None
    argv: tuple[str, ...] = ()
    exit_code: int | None = None  # None while it runs
    oom_killed: bool = False
    error: str = ""  # why the engine could not start it
    restarts: int | None = None
    restart_policy: str = ""
    memory_limit_bytes: int | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    stopped_at: datetime | None = None  # None while it runs
    was_told_to_stop: bool = False  # somebody stopped or killed it by a command
    project: str = ""  # of compose, with its service and files
    service: str = ""
    depends_on: dict[str, str] = {}  # services of its project, each with the condition that compose awaits
    config_files: tuple[str, ...] = ()
    listens: tuple[Target, ...] | None = None  # TCP addresses in its network namespace; None: unknown, or the machine's own
    gateways: tuple[str, ...] = ()  # the kinds of gateways to which its labels give a route: traefik
    routed_port: int | None = None  # the port to which those labels route; None if they name none, or several
    labelled_routes: tuple[LabelledRoute, ...] = ()
    links: dict[str, str] = {}  # by target: why it probably serves it, if its network is not its own
    history: tuple[ContainerEvent, ...] = ()
    last_words: tuple[str, ...] = ()  # its last log lines, if it does not run or was restarted
    logs: tuple[str, ...] = ()  # files with its output, oldest first, if they are known without asking its engine

    @property
    def is_running(self) -> bool:
        """Whether its program runs now: not while it waits for a restart."""
        return self.state == "running"

    @property
    def is_down(self) -> bool:
        """Whether it does not run, or is started again and again and nothing in it listens."""
        return not self.is_running or self.fails_again

    @property
    def fails_again(self) -> bool:
        """Whether it was started again and nothing in it listens. In the machine's own network that is unknown."""
        return bool(self.restarts) and not self.listens and self.network_mode != "host"

    @property
    def shares_network_of(self) -> str:
        """The id or name of the container whose network it uses, as those of a pod do; "" if it has its own or the machine's."""
        kind, _, owner = self.network_mode.partition(":")
        return owner if kind == "container" else ""

    @property
    def shown(self) -> str:
        """The container and its compose service, in words."""
        return f"container {self.name}" + (f" (compose service {self.service})" if self.service else "")

    @property
    def networks(self) -> frozenset[str]:
        """The names of its networks."""
        return frozenset(one.network for one in self.attachments)

    @property
    def addresses(self) -> frozenset[str]:
        """Its addresses in all its networks."""
        return frozenset(address for one in self.attachments for address in (one.address, one.address_v6) if address)

    def is_called(self, name: str, network: str = "") -> bool:
        """Return whether the engine's name server knows it by a name, in one network or in any."""
        return any(name in one.names for one in self.attachments if not network or one.network == network)

    @property
    def start_argv(self) -> tuple[str, ...]:
        """The command that starts it; () for a container of a pod, which its kubelet starts."""
        return () if self.engine == KUBERNETES else (self.engine, "start", self.name)

    def command(self, verb: str, *options: str) -> tuple[str, ...]:
        """Return the command that does something with it: of compose for its service, else of the engine for the container."""
        if self.engine == KUBERNETES:
            namespace, pod, name = self.name.split("/")
            what = (pod, "-c", name) if verb == "logs" else ("pod", pod)
            return ("kubectl", "-n", namespace, "logs" if verb == "logs" else "describe", *what)
        if self.service and self.project:
            files = tuple(word for file in self.config_files for word in ("-f", file))
            return (self.engine, "compose", *files, "-p", self.project, verb, *options, self.service)
        return (self.engine, verb, *options, self.name)

    def shows(self, verb: str) -> str:
        """Return the command that shows something about it, as text: `docker logs web`."""
        return " ".join(self.command(verb)) if self.engine == KUBERNETES else f"{self.engine} {verb} {self.name}"
