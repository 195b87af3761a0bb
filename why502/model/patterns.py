"""Regular expressions that are compiled on first use: the program has more than a thousand, and a run needs few of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, AnyStr

_WAYS = ("search", "match", "fullmatch", "finditer", "findall", "sub", "subn", "split")


class _Lazy:
    def __init__(self, text: Any, flags: int = 0) -> None:
        self._given = text, flags

    def __getattr__(self, name: str) -> Any:
        """Compile the expression and cache its methods as attributes of this object, so that later calls cost nothing extra."""
        if name.startswith("__"):
            raise AttributeError(name)
        made = re.compile(*self._given)
        vars(self).update({way: getattr(made, way) for way in _WAYS})
        return getattr(made, name)


if TYPE_CHECKING:

    def lazy(text: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
        """Return a regular expression that is compiled when one of its methods is first used."""
        ...

else:
    lazy = _Lazy
