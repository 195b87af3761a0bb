"""Computes file permissions: which user may do what with a file (path_resolution(7), acl(5), capabilities(7))."""

from __future__ import annotations

from dataclasses import dataclass

from why502.host.base import Stat

READ, WRITE, SEARCH = 4, 2, 1
_OVERRIDE = 1 << 1  # CAP_DAC_OVERRIDE
_LETTERS = {"r": READ, "w": WRITE, "x": SEARCH}


@dataclass(frozen=True, slots=True)
class Identity:
    """The credentials that the kernel checks. `overrides`: it has CAP_DAC_OVERRIDE, so file modes do not apply."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    overrides: bool = False


def identity(status: dict[str, str]) -> Identity | None:
    """Return the identity from the fields of /proc/PID/status, with its file system ids; None if fields are missing."""
    try:
        uid, gid = int(status["Uid"].split()[3]), int(status["Gid"].split()[3])
        groups = tuple(int(number) for number in status.get("Groups", "").split())
        return Identity(uid, gid, groups, bool(int(status["CapEff"], 16) & _OVERRIDE))
    except (KeyError, IndexError, ValueError):
        return None


def permits(stat: Stat, acl: tuple[str, ...], who: Identity, wanted: int) -> bool:
    """Return whether `who` has all of the `wanted` rights (READ | WRITE | SEARCH). `acl` is in the form of Host.acl."""
    if who.overrides:
        return True
    if who.uid == stat.uid:
        return stat.mode >> 6 & wanted == wanted
    groups = {who.gid, *who.groups}
    if not acl:
        return (stat.mode >> 3 if stat.gid in groups else stat.mode) & wanted == wanted
    entries = [(kind, name, _bits(letters)) for kind, name, letters in (entry.split(":") for entry in acl)]
    mask = next((bits for kind, _, bits in entries if kind == "mask"), READ | WRITE | SEARCH)
    for kind, name, bits in entries:
        if kind == "user" and name == str(who.uid):
            return bits & mask & wanted == wanted
    of_groups = [bits for kind, name, bits in entries if kind == "group" and (int(name) if name else stat.gid) in groups]
    if of_groups:
        return any(bits & mask & wanted == wanted for bits in of_groups)
    return next((bits for kind, _, bits in entries if kind == "other"), 0) & wanted == wanted


def _bits(letters: str) -> int:
    return sum(_LETTERS.get(letter, 0) for letter in letters)
