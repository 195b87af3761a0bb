"""Regular expressions that are made at their first use: the program has more than a thousand, and a run needs few of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, AnyStr

_WAYS = ("search", "match", "fullmatch", "finditer", "findall", "sub", "subn", "split")


class _Lazy:
    def __init__(self, text: Any, flags: int = 0) -> None:
        self._given = text, flags

    def __getattr__(self, name: str) -> Any:
        """Make the expression, and from then on be as fast as it: its methods become attributes of this very object."""
        if name.startswith("__"):
            raise AttributeError(name)
        made = re.compile(*self._given)
        vars(self).update({way: getattr(made, way) for way in _WAYS})
        return getattr(made, name)


if TYPE_CHECKING:

    def lazy(text: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
        """Return a regular expression that is made when a method of it is first asked for."""
        ...

else:
    lazy = _Lazy
