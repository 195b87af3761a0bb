"""What an engine's API answers about a container, as a Container (Docker Engine API v1.24 on; podman's is the same).

The answers are those of a program that any user may have written: every field may be missing, of another type or of any length.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from why502 import registry
from why502.gateways.behaviour import PACKAGE, behaviour, container_labels
from why502.logs import stamps
from why502.model.container import Attachment, Container, ContainerEvent, HealthCheck, LabelledRoute, Publication
from why502.model.patterns import lazy
from why502.redaction import redact
from why502.redaction.snapshots import redact_words

NAME_BYTES, TEXT_BYTES, LABEL_BYTES = 200, 300, 2048
WORDS, NETWORKS, NAMES, PORTS, FILES, DEPENDENCIES, LABELS = 64, 32, 16, 64, 8, 32, 256  # maximum kept of each
EVENTS = 256  # an engine keeps no more (moby, daemon/events, eventsLimit)
OF_EACH = 32  # maximum events kept of one container
_COMPOSE = "com.docker.compose."
_OLDER = "io.podman.compose."
_UNPRINTABLE = lazy(r"[^\x20-\x7e\u00a0-\ud7ff\uf900-\ufffd]")
_ENDED = ("exited", "dead", "restarting", "created", "stopped", "configured")
_HEALTHS = ("starting", "healthy", "unhealthy")


def mapping(value: object) -> dict[str, Any]:
    """Return a JSON object; empty if it is another value."""
    return value if isinstance(value, dict) else {}


def rows(value: object) -> list[Any]:
    """Return a JSON array; empty if it is another value."""
    return value if isinstance(value, list) else []


def number(value: object) -> int | None:
    """Return a JSON integer; None if it is another value."""
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63 else None


def text(value: object, most: int = NAME_BYTES) -> str:
    """Return a printable text of limited length; "" if the value is not text."""
    return _UNPRINTABLE.sub("�", value[: most * 2])[:most] if isinstance(value, str) else ""


def moment(value: object) -> datetime | None:
    """Return a time; None for Go's zero time (0001-01-01T00:00:00Z)."""
    found = stamps.find(value[:40]) if isinstance(value, str) else None
    return found if found and found.year > 1 else None


def listed(engine: str, socket: str, uid: int, one: dict[str, Any]) -> Container:
    """Return a container as the list of containers (`/containers/json`) describes it."""
    names = [text(name).lstrip("/") for name in rows(one.get("Names"))]
    labels = mapping(one.get("Labels"))
    status = text(one.get("Status"))
    health = next((word for word in _HEALTHS if f"({word})" in status or f"(health: {word})" in status), "")
    ports = [port for port in rows(one.get("Ports"))[:PORTS] if isinstance(port, dict) and port.get("Type") == "tcp"]
    found = Container(
        engine=engine,
        id=text(one.get("Id"), 64),
        name=next((name for name in names if "/" not in name), ""),
        socket=socket,
        owner_uid=uid,
        image=text(one.get("Image")),
        image_id=text(one.get("ImageID")),
        state=text(one.get("State")),
        network_mode=text(mapping(one.get("HostConfig")).get("NetworkMode")),
        attachments=tuple(_attachments(mapping(one.get("NetworkSettings")), names)),
        exposed=tuple(sorted({port for one in ports if (port := number(one.get("PrivatePort")))})),
        published=tuple(dict.fromkeys(_listed_ports(ports))),
        health=HealthCheck(status=health) if health else None,
        created_at=_of_epoch(one.get("Created")),
    )
    return _with_compose(found, labels)


def _listed_ports(ports: list[dict[str, Any]]) -> Iterator[Publication]:
    for port in ports:
        inner, outer = number(port.get("PrivatePort")), number(port.get("PublicPort"))
        if inner and outer:
            yield Publication(inner=inner, outer=outer, host=_any(text(port.get("IP"))))


def _any(host: str) -> str:
    return "" if host in ("0.0.0.0", "::") else host


def _of_epoch(value: object) -> datetime | None:
    seconds = number(value)
    return datetime.fromtimestamp(seconds, UTC) if seconds and 0 < seconds < 1 << 33 else None


def inspected(known: Container, inside: dict[str, Any]) -> Container:
    """Return a container of the list with what its details (`/containers/ID/json`) add."""
    state, config, host = (mapping(inside.get(key)) for key in ("State", "Config", "HostConfig"))
    status = text(state.get("Status"))
    is_ended = status in _ENDED
    name = text(inside.get("Name")).lstrip("/") or known.name
    found = msgspec.structs.replace(
        known,
        is_whole=True,
        name=name,
        image=text(config.get("Image")) or known.image,
        image_id=text(inside.get("Image")) or known.image_id,
        state=status,
        pid=number(state.get("Pid")) or None,
        network_mode=text(host.get("NetworkMode")),
        attachments=tuple(_attachments(mapping(inside.get("NetworkSettings")), [name, text(config.get("Hostname"))])),
        exposed=_exposed(config),
        published=tuple(dict.fromkeys(_published(inside))),
        health=_health(state, config),
        argv=command(config),
        exit_code=number(state.get("ExitCode")) if is_ended else None,
        oom_killed=state.get("OOMKilled") is True,
        error=redact(text(state.get("Error"), TEXT_BYTES)),
        restarts=number(inside.get("RestartCount")),
        restart_policy=text(mapping(host.get("RestartPolicy")).get("Name")),
        memory_limit_bytes=number(host.get("Memory")) or None,
        created_at=moment(inside.get("Created")) or known.created_at,
        started_at=moment(state.get("StartedAt")),
        stopped_at=moment(state.get("FinishedAt")) if is_ended else None,
    )
    return _with_compose(found, mapping(config.get("Labels")))


def command(config: dict[str, Any]) -> tuple[str, ...]:
    """Return the command line of a container's configuration, without secrets."""
    parts = (config.get("Entrypoint"), config.get("Cmd"))
    words = [word for part in parts for word in (rows(part) if isinstance(part, list) else [part] if part else [])]
    return tuple(redact_words([text(word, TEXT_BYTES) for word in words[:WORDS]]))


def _exposed(config: dict[str, Any]) -> tuple[int, ...]:
    found = (_port(name) for name in list(mapping(config.get("ExposedPorts")))[:PORTS])
    return tuple(sorted({port for port in found if port}))


def _port(name: str) -> int:
    """Return the number of "3000/tcp"; 0 for other protocols."""
    digits, _, protocol = name.partition("/")
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 6 and protocol in ("", "tcp") else 0


def _published(inside: dict[str, Any]) -> Iterator[Publication]:
    """Yield the published ports, as bound, or as they would be bound if the container ran."""
    bound = mapping(mapping(inside.get("NetworkSettings")).get("Ports"))
    bindings = mapping(mapping(inside.get("HostConfig")).get("PortBindings"))
    for name, outer in list((bound or bindings).items())[:PORTS]:
        for binding in rows(outer)[:PORTS]:
            port = mapping(binding).get("HostPort")
            if (inner := _port(name)) and isinstance(port, str) and (outside := _port(port)):
                yield Publication(inner=inner, outer=outside, host=_any(text(mapping(binding).get("HostIp"))))


def _attachments(settings: dict[str, Any], own: list[str]) -> Iterator[Attachment]:
    """Yield the networks of a container. Docker's own names for it are its name, its short id and its aliases."""
    for network, settings_of in list(mapping(settings.get("Networks")).items())[:NETWORKS]:
        place = mapping(settings_of)
        given = [*rows(place.get("Aliases")), *rows(place.get("DNSNames"))]
        yield Attachment(
            network=text(network),
            address=text(place.get("IPAddress")),
            address_v6=text(place.get("GlobalIPv6Address")),
            gateway=text(place.get("Gateway")),
            names=tuple(dict.fromkeys(name for each in (*own, *given) if (name := text(each)) and "/" not in name))[:NAMES],
        )


def _health(state: dict[str, Any], config: dict[str, Any]) -> HealthCheck | None:
    health = mapping(state.get("Health")) or mapping(state.get("Healthcheck"))
    status = text(health.get("Status"))
    if status not in _HEALTHS:
        return None
    runs = [mapping(run) for run in rows(health.get("Log"))]
    last = runs[-1] if runs else {}
    words = rows(mapping(config.get("Healthcheck")).get("Test"))[:WORDS]
    return HealthCheck(
        status=status,
        argv=tuple(redact_words([text(word, TEXT_BYTES) for word in words])),
        exit_code=number(last.get("ExitCode")),
        output=redact(text(_line(last.get("Output")), TEXT_BYTES)),
    )


def _line(value: object) -> str:
    return " ".join(value[: TEXT_BYTES * 2].split()) if isinstance(value, str) else ""


def _with_compose(container: Container, labels: dict[str, Any]) -> Container:
    def label(name: str, most: int = NAME_BYTES) -> str:
        return text(labels.get(_COMPOSE + name), most) or text(labels.get(_OLDER + name), most)

    gateways = [
        kind
        for kind, prefix in container_labels().items()
        if any(name.startswith(prefix) for name in labels) and labels.get(f"{prefix}enable") != "false"
    ]
    ports = {port for kind in gateways if (end := behaviour(kind).container_port_label) for port in _named_ports(labels, end)}
    needs = [part.split(":") for part in label("depends_on", 4096).split(",") if part][:DEPENDENCIES]
    files = label("project.config_files", 4096)
    return msgspec.structs.replace(
        container,
        gateways=tuple(gateways),
        routed_port=ports.pop() if len(ports) == 1 else None,
        labelled_routes=tuple(_labelled_routes(labels)),
        project=label("project"),
        service=label("service"),
        depends_on={words[0]: words[1] if len(words) > 1 else "" for words in needs if words[0]},
        config_files=tuple(path for path in files.split(",")[:FILES] if path.startswith("/")),
    )


def _labelled_routes(labels: dict[str, Any]) -> Iterator[LabelledRoute]:
    """Yield the routes for which labels ask, of each product that reads labels."""
    given = {text(name): text(value, LABEL_BYTES) for name, value in list(labels.items())[:LABELS] if isinstance(value, str)}
    for kind in container_labels():
        if (module := registry.part(PACKAGE, kind, "labels")) is not None:
            yield from module.routes(given)


def _named_ports(labels: dict[str, Any], end: str) -> Iterator[int]:
    """Yield the ports in labels whose names end so."""
    for name, value in labels.items():
        if name.lower().endswith(end) and isinstance(value, str) and 0 < (port := _port(value)) <= 65535:
            yield port


def events(answer: bytes) -> Iterator[tuple[str, str, ContainerEvent]]:
    """Yield container id, container name and event of an engine's answer: one JSON object per line, or several."""
    for line in answer.splitlines()[-EVENTS:]:
        try:
            event = mapping(msgspec.json.decode(line))
        except (ValueError, RecursionError):
            continue
        actor = mapping(event.get("Actor"))
        attributes = mapping(actor.get("Attributes"))
        is_network = event.get("Type") == "network"
        at = _of_epoch(event.get("time"))
        nanoseconds = number(event.get("timeNano"))
        if nanoseconds and at:
            at = at.replace(microsecond=nanoseconds % 10**9 // 1000)
        action = text(event.get("Action") or event.get("status"), 60)
        if at is None or not action or (is_network and action not in ("connect", "disconnect")):
            continue
        code = attributes.get("exitCode") if action in ("die", "died") else attributes.get("signal") if action == "kill" else None
        identity = text(attributes.get("container") if is_network else actor.get("ID"), 64)
        yield (
            identity,
            text(attributes.get("name")) if not is_network else "",
            ContainerEvent(
                at=at,
                action=action,
                code=int(code) if isinstance(code, str) and code.isascii() and code.isdecimal() and len(code) < 4 else None,
                id=identity[:12],
            ),
        )


def by_name(found: Iterable[tuple[str, str, ContainerEvent]]) -> dict[str, tuple[ContainerEvent, ...]]:
    """Return the last events by the container's name; those of networks belong to the container with that id."""
    every = list(found)
    names = {identity: name for identity, name, _ in every if name}
    grouped: dict[str, list[ContainerEvent]] = {}
    for identity, name, event in every:
        if owner := name or names.get(identity, ""):
            grouped.setdefault(owner, []).append(event)
    return {name: tuple(sorted(each, key=lambda event: event.at))[-OF_EACH:] for name, each in grouped.items()}


def chosen(kinds: tuple[str, ...]) -> str:
    """Return the filter of events for these types, as the API wants it."""
    return json.dumps({"type": list(kinds)})
