"""Files of which a deployment takes one: alternatives(), such as dev.conf and production.conf; certainty() of a conflict, and
that of files joined() by an include.
"""

from __future__ import annotations

import posixpath
import re

from why502.model.config import Position
from why502.model.finding import Severity
from why502.model.patterns import lazy

_MAIN = "nginx.conf"
_VARIANT = lazy(
    r"\b(?:dev(?:elopment)?|prod(?:uction)?|stag(?:e|ing)|test(?:ing)?|local(?:host)?|example|sample|https?|ssl|tls|nossl|only|no|init(?:ial)?"
    r"|bootstrap|maintenance|docker|simple|full|new|old|v\d)\b"
)


def alternatives(one: Position | None, other: Position | None) -> bool:
    """Return whether two files have the same name but for words of which only one is meant at a time.

    Or one is a variant of nginx.conf, and the other one belongs to nginx.conf: both name the directory of the installed nginx.
    """
    if one is None or other is None or one.file == other.file:
        return False
    if posixpath.dirname(one.file) != posixpath.dirname(other.file):
        return any(_is_other_main(main.file, part.file) for main, part in ((one, other), (other, one)))
    return _plain(one.file) == _plain(other.file)


def certainty(one: Position | None, other: Position | None, is_here: bool) -> Severity | None:
    """Return the severity of a conflict between two places that differs from its rule's: a note, if only one may be deployed.

    A warning, if the files are in different directories. In a repository the files of one directory are often those of several
    machines or stages. With both, nginx would not have started, so its owner would have noticed. `sites-enabled` contains what
    is deployed.
    """
    if is_here or one is None or other is None or one.file == other.file:
        return None
    directory = posixpath.dirname(one.file)
    if directory != posixpath.dirname(other.file):
        return Severity.WARNING
    return None if posixpath.basename(directory) == "sites-enabled" else Severity.NOTE


def joined(one: Position | None, other: Position | None, is_here: bool) -> Severity | None:
    """Return the severity of a conflict between a file and one that it includes, if it differs from its rule's.

    A warning in a repository: which file an `include` reads there depends on what the deployment puts in its place.
    """
    return Severity.WARNING if not is_here and one is not None and other is not None and one.file != other.file else None


def directory_of(at: Position) -> str:
    """Return the name of the directory of a file, without the path to it."""
    return posixpath.basename(posixpath.dirname(at.file))


def _plain(file: str) -> list[str]:
    """Return the words of a file's name without those of a variant."""
    return _VARIANT.sub("", re.sub(r"[_.-]", " ", posixpath.basename(file))).split()


def _is_other_main(main: str, part: str) -> bool:
    """Return whether `main` stands beside nginx.conf (docker-nginx.conf), and the directory of `part` is that one's."""
    name = posixpath.basename(main)
    return name != _MAIN and _plain(main) == _plain(_MAIN) and part.startswith(f"{posixpath.dirname(main)}/")
