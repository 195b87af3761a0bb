"""The input and output types of every collector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from why502.model.base import Value
from why502.model.snapshot import Gap
from why502.model.target import Target

T = TypeVar("T")


class CollectOptions(Value, frozen=True, kw_only=True):
    """The user's options. Empty tuples: detect automatically."""

    configs: tuple[str, ...] = ()  # --config
    logs: tuple[str, ...] = ()  # --log
    urls: tuple[str, ...] = ()  # --url
    targets: tuple[Target, ...] = ()  # --target: local addresses that the proxy of another machine connects to
    probes: bool = True  # False: send nothing to any target
    offline: bool = False  # True: read only the given files


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """The value of a section of the Snapshot, and its gaps. None: the section could not be read."""

    value: T | None
    gaps: tuple[Gap, ...] = ()
