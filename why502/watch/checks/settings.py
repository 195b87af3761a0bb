"""The section `[checks]` of the settings: how often members are checked, and what a good answer is."""

from __future__ import annotations

import re

from why502.model.base import Value
from why502.model.target import Target

LONGEST_S = 60.0  # a member is checked at least once a minute, however little it is used
SHORTEST_S = 1.0
STATUS = re.compile(r"[1-5][0-9]{2}")
PATH = re.compile(r"/[!-\[\]-~]{0,2000}")
BODY_CHARACTERS = 1000


class TargetCheck(Value, frozen=True, kw_only=True):
    """What differs for one target: `target` is an address (127.0.0.1:3000), a name, or the name of a group.

    `statuses`: those of a good answer ("200-299", "404"); without any, all but 502, 503 and 504 are good. `body`: text that the
    first 64 KiB of the body must contain. Raises ValueError for a value that cannot be used.
    """

    target: str
    off: bool = False
    path: str = ""
    statuses: tuple[str, ...] = ()
    body: str = ""
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        if not self.target:
            raise ValueError("`target` is empty")
        if self.path and not PATH.fullmatch(self.path):
            raise ValueError("`path` must begin with / and contain no space")
        if len(self.body) > BODY_CHARACTERS:
            raise ValueError(f"`body` has more than {BODY_CHARACTERS} characters")
        if self.timeout_s is not None and not 0.1 <= self.timeout_s <= LONGEST_S:
            raise ValueError(f"`timeout_s` must be 0.1 to {LONGEST_S:g}")
        _ = [_range(text) for text in self.statuses]

    def concerns(self, group: str, name: str, address: Target) -> bool:
        """Return whether this is about a member of that group, name as configured, and address."""
        return self.target in (group, name, str(address)) or Target.parse(self.target) == address

    def accepts(self, status: int) -> bool | None:
        """Return whether a status is good; None if nothing is set about it."""
        return any(first <= status <= last for first, last in map(_range, self.statuses)) if self.statuses else None


class Checks(Value, frozen=True, kw_only=True):
    """How members are checked. `rise` and `fall`: results in a row that change the status. Raises ValueError."""

    off: bool = False
    interval_s: float = 10.0
    quick_s: float = 2.0  # while in doubt
    rise: int = 2
    fall: int = 3
    timeout_s: float = 5.0
    target: tuple[TargetCheck, ...] = ()

    def __post_init__(self) -> None:
        if not SHORTEST_S <= self.interval_s <= LONGEST_S:
            raise ValueError(f"`interval_s` must be {SHORTEST_S:g} to {LONGEST_S:g}")
        if not SHORTEST_S <= self.quick_s <= LONGEST_S:
            raise ValueError(f"`quick_s` must be {SHORTEST_S:g} to {LONGEST_S:g}")
        if not 0.1 <= self.timeout_s <= LONGEST_S:
            raise ValueError(f"`timeout_s` must be 0.1 to {LONGEST_S:g}")
        if not (1 <= self.rise <= 100 and 1 <= self.fall <= 100):
            raise ValueError("`rise` and `fall` must be 1 to 100")

    def of(self, group: str, name: str, address: Target) -> TargetCheck | None:
        """Return what is set for one member: the last that concerns it."""
        return next((one for one in reversed(self.target) if one.concerns(group, name, address)), None)


def _range(text: str) -> tuple[int, int]:
    """Return the first and last status of "200" or "200-299". Raises ValueError."""
    first, _, last = text.partition("-")
    if not STATUS.fullmatch(first) or (last and not STATUS.fullmatch(last)) or (last and int(last) < int(first)):
        raise ValueError(f"{text!r} is not a status or a range of statuses")
    return int(first), int(last or first)
