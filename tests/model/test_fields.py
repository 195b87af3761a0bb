"""Every field of the Snapshot has a reader: collected data must decide or show something."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import Any

import field_reads
import pytest
from msgspec import inspect

import why502
from why502.model.snapshot import Snapshot

# Fields passed from one collector to another, or used only by a command beside the diagnosis, with their use.
NOT_FOR_REASONING: dict[field_reads.Read, str] = {
    ("ConfigFile", "owner_uid"): "with whose rights what a file names is looked at",
    ("Container", "created_at"): "which containers are examined in detail: the newest",
    ("Container", "exit_code"): "becomes the service's",
    ("Container", "history"): "becomes events",
    ("Container", "image"): "becomes a setting of the service",
    ("Container", "image_id"): "becomes a setting of the service, and changes of the machine are told by it",
    ("Container", "links"): "which target a container in another network than its own serves",
    ("Container", "memory_limit_bytes"): "becomes a setting of the service",
    ("Container", "oom_killed"): "becomes the service's",
    ("Container", "restart_policy"): "becomes a setting of the service",
    ("Container", "socket"): "where its output is asked for",
    ("Container", "was_told_to_stop"): "becomes the service's exit message",
    ("Listener", "inode"): "joins a socket to the processes that hold it",
    ("Listener", "file_inode"): "joins a unix socket to the path it is bound to",
    ("LogTarget", "repeats"): "the requests of one log are counted, where two have the same",
    ("LogTarget", "facility"): "into which file the syslog daemon writes its messages",
    ("LogTarget", "tag"): "which lines of that file are its own",
    ("LogTarget", "flush_s"): "how long `why502 watch` waits for lines that are written late",
    ("LogTarget", "format_name"): "`why502 logs` says from which log_format it knows a format",
    ("LogFile", "is_deleted"): "becomes a gap: the log that is read is not the one that is written",
    ("Peer", "checked_at"): "whether a failed check of HAProxy concerns the server's own address",
    ("PeerView", "rejected"): "why HAProxy rejected a response: its tally says so",
    ("PathStep", "passes"): "which step stops the worker: SocketPath.blocked_at and is_reachable",
    ("PhpPool", "network"): "whether the pool's socket can be asked from here",
    ("PhpPool", "slowlog"): "is read for events",
    ("Proxy", "counted"): "becomes tallies of the logs, where no log has those requests",
    ("Proxy", "unanswered"): "becomes the traffic of its targets in the logs",
    ("Process", "mounts"): "whether paths of a worker mean the files that we see",
    ("Process", "private_tmp"): "where a socket below /tmp really lies",
    ("Proxy", "routes_elsewhere"): "a gateway whose files have no route is kept, because its admin interface may name some",
}
ROOT = Path(why502.__file__).parent
# Packages and modules that examine the machine, read text, store, mask or orchestrate. Every other one reasons or shows.
COLLECTORS = frozenset("sources collectors machine gateways config backends supervisors host probing logs".split())
NO_READERS = COLLECTORS | frozenset("redaction bundle bounds lab cluster cli session watch serve".split())
# Functions of these packages read for whoever reasons and calls them: which location takes a request, how large a pool may be.
LENDERS = frozenset("config gateways backends".split())


@pytest.mark.thorough
def test_every_field_of_the_snapshot_has_a_reader() -> None:
    unread = sorted(".".join(each) for each in fields() - read() - NOT_FOR_REASONING.keys())
    assert unread == []


@pytest.mark.thorough
def test_the_exceptions_are_still_needed() -> None:
    """An exception is obsolete if nobody reads the field any more, or if reasoning reads it now."""
    unread = sorted(".".join(each) for each in NOT_FOR_REASONING.keys() - read_elsewhere())
    assert unread == []
    assert sorted(".".join(each) for each in NOT_FOR_REASONING.keys() & read()) == []


def fields() -> set[field_reads.Read]:
    """Return every field of every value that a snapshot can hold."""
    found: dict[str, tuple[str, ...]] = {}

    def walk(info: Any) -> None:
        if isinstance(info, inspect.StructType):
            if info.cls.__name__ in found:
                return
            found[info.cls.__name__] = info.cls.__struct_fields__
            for each in info.fields:
                walk(each.type)
        for part in ("item_type", "key_type", "value_type"):
            if hasattr(info, part):
                walk(getattr(info, part))
        for part in ("types", "item_types"):
            for each in getattr(info, part, ()):
                walk(each)

    walk(inspect.type_info(Snapshot))
    return {(cls, name) for cls, names in found.items() for name in names}


@cache
def _trees() -> dict[Path, ast.Module]:
    return field_reads.modules(ROOT)


@cache
def _known() -> field_reads.Program:
    return field_reads.program(_trees().values())


def _reads(tree: ast.Module) -> set[field_reads.Read]:
    return set(field_reads.reads(tree, _known(), frozenset(_known().annotations)))


@cache
def read_elsewhere() -> frozenset[field_reads.Read]:
    """Return every field read outside the readers, except by the lab and by modules that mask or store."""
    found = (
        _reads(tree) for path, tree in _trees().items() if (COLLECTORS | {"cli", "session", "watch"}) & {*path.parts, path.stem}
    )
    return frozenset(_with_own(set().union(*found)))


@cache
def read() -> frozenset[field_reads.Read]:
    """Return every field that some reader reads, also through a function it calls, or a property of the model it uses."""
    found: set[field_reads.Read] = set()
    used: set[str] = set()
    imported: set[str] = set()
    for path, tree in _trees().items():
        if not NO_READERS & {*path.parts, path.stem} and path.parts[0] != "model":
            found |= _reads(tree)
            used |= field_reads.names_in(tree)
            imported |= field_reads.imports_of(tree)
    lent = [
        (".".join((ROOT.name, *path.with_suffix("").parts)).removesuffix(".__init__"), tree, node)
        for path, tree in _trees().items()
        if LENDERS & {*path.parts}
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    ]
    while called := [each for each in lent if each[0] in imported and each[2].name in used]:
        lent = [each for each in lent if each not in called]
        for _, tree, node in called:
            found |= _reads(ast.Module(body=[node], type_ignores=[]))
            used |= field_reads.names_in(node)
            imported |= field_reads.imports_of(tree)
    return frozenset(_with_own(found))


def _with_own(found: set[field_reads.Read]) -> set[field_reads.Read]:
    """Return these and the fields that the model's properties and methods among them read."""
    own = {
        (cls.name, method.name): _reads(ast.Module(body=[_alone(cls, method)], type_ignores=[]))
        for path, tree in _trees().items()
        if path.parts[0] == "model"
        for cls in ast.walk(tree)
        if isinstance(cls, ast.ClassDef)
        for method in cls.body
        if isinstance(method, ast.FunctionDef)
    }
    while new := {each for used in found & own.keys() for each in own[used]} - found:
        found |= new
    return found


def _alone(cls: ast.ClassDef, method: ast.FunctionDef) -> ast.ClassDef:
    return ast.ClassDef(name=cls.name, bases=cls.bases, keywords=[], body=[method], decorator_list=[])
