"""The containers of Docker and podman as services of the targets.

Exit code 137 alone does not show who killed it. State.OOMKilled does, but not in every setup.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator

from why502.host.base import Host
from why502.logs.phrases import signal_name
from why502.model.container import Container
from why502.model.process import Process
from why502.model.service import Service
from why502.model.target import Target
from why502.supervisors.base import LISTENS, Look, is_of_container, merge
from why502.supervisors.docker.history import UNRECORDED

STOPPING = (signal.SIGINT, signal.SIGKILL, signal.SIGTERM)  # by which an engine stops a container: its STOPSIGNAL, then SIGKILL
_ENDED = ("exited", "dead", "restarting", "created", "stopped", "configured")
_FAILED_TO_RUN = {125: "the engine could not start it", 126: "its command is not executable", 127: "its command was not found"}


def services(_: Host, look: Look) -> tuple[Service, ...]:
    """Return the containers that serve a target."""
    return tuple(found for container in look.containers if (found := _of_target(look, container)).targets)


def _of_target(look: Look, container: Container) -> Service:
    service = of_container(container)
    for target, how in _targets(look, container):
        service = merge(service, target, how)
    return service


def _is_in(process: Process, identity: str) -> bool:
    """Return whether a process runs in a container of root's engine. Below their own manager, users may choose any cgroup
    names.
    """
    return process.container == identity and "/user@" not in process.cgroup


def _is_of_another(look: Look, container: Container, owners: Iterable[int]) -> bool:
    """Return whether a process of another container listens: those of a pod share an address."""
    found = {process.container for pid in owners if (process := look.processes.get(pid))}
    return bool(found) and container.id not in found


def _shares_loopback(look: Look, container: Container) -> bool:
    """Return whether a container uses the network of the machine, or of a proxy that runs: in a pod, or beside its container.

    One that runs beside a proxy, and does not listen, may be only a client of what does.
    """
    if container.network_mode == "host":
        return True
    owner = container.shares_network_of
    if not owner or not container.is_down:
        return False
    owners = (one for one in look.containers if owner in (one.id, one.name) and one.owner_uid == container.owner_uid)
    return any(one.network and one.network in look.networks for one in owners)


def _targets(look: Look, container: Container) -> Iterator[tuple[Target, str]]:
    """Yield the targets that a container serves, or would if it ran, and the evidence.

    Of a user's engine only its published ports count: any user can give a container any name and address.
    """
    published = {port.outer: port.inner for port in container.published}
    is_root = container.owner_uid == 0
    for target, owners in look.owners.items():
        names = [name for name in look.called.get(target, ()) if container.is_called(name)]
        if any((process := look.processes.get(pid)) and is_root and _is_in(process, container.id) for pid in owners):
            yield target, LISTENS
        elif target.port in published and not is_of_container(target) and target.host not in look.container_addresses:
            yield target, f"it publishes port {target.port}"
        elif not is_root:
            continue
        elif target.host in container.addresses:
            if not _is_of_another(look, container, owners):
                yield target, f"its address is {target.host}"
        elif names and (container.is_down or target.host == names[0]):
            yield target, f"it is called {names[0]}"
        elif not owners and _shares_loopback(look, container):
            how = f"it exposes port {target.port}" if target.port in container.exposed else container.links.get(str(target), "")
            if how:
                yield target, how


def of_container(container: Container) -> Service:
    """Return a container as a service without targets."""
    ended = container.state in _ENDED
    code = container.exit_code or 0
    killed = code - 128 if ended and 128 < code < 160 else None
    is_order = container.was_told_to_stop and killed in STOPPING and not container.oom_killed
    settings = {
        "Restart": container.restart_policy or "no",
        "Network": container.network_mode,
        "Image": container.image,
        "ImageId": container.image_id,
        "MemoryMax": str(container.memory_limit_bytes or ""),
        "Health": container.health.status if container.health else "",
    }
    message = f"{code}: stopped by a command to {container.engine}" if is_order else _exit_text(code, container.error)
    if not is_order and not container.oom_killed and killed in UNRECORDED.get(container.engine, ()):
        is_order, message = True, f"{code}: killed by {signal_name(str(killed))}, by a command or for lack of memory"
    return Service(
        manager=container.engine,
        name=container.name,
        state=container.state,
        is_running=True if container.is_running else False if ended else None,
        result=container.error,
        exit_code=code if ended and killed is None else None,
        signal=None if is_order else killed,
        exit_message=message if ended else "",
        restarts=container.restarts,
        main_pid=container.pid,
        changed_at=max((at for at in (container.started_at, container.stopped_at) if at), default=None),
        started_at=container.started_at,
        stopped_at=container.stopped_at if ended else None,
        argv=container.argv,
        settings={key: value for key, value in settings.items() if value},
        oom_killed=container.oom_killed,
        start_argv=container.start_argv,
        reason=container.last_words or ((container.error,) if container.error else ()),
        logs=container.logs,
        owner_uid=container.owner_uid,
    )


def _exit_text(code: int, error: str) -> str:
    if 128 < code < 160:
        return f"{code}: killed by {signal_name(str(code - 128))}"
    message = f"{code}: {_FAILED_TO_RUN[code]}" if code in _FAILED_TO_RUN else f"exited with status {code}" if code else ""
    return "; ".join(part for part in (message, error[:200]) if part)
