"""Writes generated files into a directory, in the layout found there; overwrites nothing that why502 did not write."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from why502.generate.document import Document, body_of, is_intact, without_comments
from why502.generate.work import File, Generated
from why502.host import output
from why502.model.errors import Why502Error

DISABLED = ".disabled"  # no include pattern ends with it


class State(StrEnum):
    """How a file relates to the one in place. REMARKED: ours, with other reasons in its comments. EDITED: ours, changed by hand.
    FOREIGN: not written by why502.
    """

    NEW = "new"
    SAME = "unchanged"
    REMARKED = "unchanged except for its comments"
    CHANGED = "changed"
    EDITED = "edited by hand"
    FOREIGN = "not written by why502"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A file and its place. `link`: the link that enables it, and where it leads; "" for none. `old`: the present text."""

    file: File
    path: str
    link: str = ""
    target: str = ""
    old: str = ""
    state: State = State.NEW

    @property
    def diff(self) -> str:
        """The unified diff from the present text to the new one."""
        return difference(self.old, self.file.text, self.path)

    @property
    def has_drifted(self) -> bool:
        """Whether it does something else than the present file, or is not there or not enabled."""
        return self.state not in (State.SAME, State.REMARKED) or self.needs_link

    @property
    def is_refused(self) -> bool:
        """Whether the present file must not be overwritten."""
        return self.state in (State.EDITED, State.FOREIGN)

    @property
    def needs_link(self) -> bool:
        """Whether the link that enables it is missing."""
        return bool(self.link) and self.file.document.is_active and not os.path.lexists(self.link)


def place(generated: Generated, directory: str) -> tuple[Placed, ...]:
    """Return the place of each file below a directory, as the directory is now. Raises Why502Error."""
    if not Path(directory).is_dir():
        raise Why502Error(f"-o {directory}: no such directory", "Create it, or give the product's own directory.")
    return tuple(_placed(file, directory) for file in generated.files)


def _placed(file: File, directory: str) -> Placed:
    document = file.document
    if document.home:
        directory = str(Path(directory, document.home.lstrip("/")))
    inside = next((one for one in document.places if Path(directory, one).is_dir()), "")
    if document.home and document.places and not inside:  # a new tree: what the product reads in every layout
        inside = "conf.d" if "conf.d" in document.places else document.places[0]
    has_links = bool(document.link) and inside == document.places[0] and Path(directory, document.link).is_dir()
    name = document.name if document.is_active or has_links else document.name + DISABLED
    path = str(Path(directory, inside, name))
    link = str(Path(directory, document.link, document.name)) if has_links else ""
    target = str(Path("..", inside, name)) if has_links else ""
    old = text_of(path)
    return Placed(file=file, path=path, link=link, target=target, old=old or "", state=_state(document, file.text, old))


def difference(old: str, new: str, path: str) -> str:
    """Return the unified diff from the text of a file to a new one; "" if they are the same."""
    return "".join(difflib.unified_diff(old.splitlines(keepends=True), new.splitlines(keepends=True), path, path))


def text_of(path: str) -> str | None:
    """Return the text of a file; None if there is none. Raises Why502Error if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read(1 << 24)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Why502Error(f"{path}: {(error.strerror or str(error)).lower()}", "Check the path and its permissions.") from error


def _state(document: Document, new: str, old: str | None) -> State:
    if old is None:
        return State.NEW
    body = body_of(old)
    if (body if body is not None else old) == document.body:
        return State.SAME
    if body is None:
        return State.FOREIGN if old != new else State.SAME
    if not is_intact(old):
        return State.EDITED
    is_remarked = without_comments(body, document) == without_comments(document.body, document)
    return State.REMARKED if is_remarked else State.CHANGED


def require_ours(placed: Iterable[Placed]) -> None:
    """Raise Why502Error if a file would be overwritten that is not ours, or that was edited."""
    for one in placed:
        if one.is_refused:
            raise Why502Error(
                f"{one.path} exists and is {one.state}: nothing was written",
                "Compare it with `why502 generate … -o DIR --check`; then move it away, or give another --name or directory.",
            )


def write(placed: tuple[Placed, ...]) -> Iterator[str]:
    """Write the files and links; yield a line about each. Raises Why502Error before the first is written, if one cannot be."""
    require_ours(placed)
    wanted = [one for one in placed if one.state is not State.SAME]
    for one in wanted:
        if one.file.document.home:
            Path(one.path).parent.mkdir(parents=True, exist_ok=True)
        output.may_write(one.path)
    for one in placed:
        if one.state is State.SAME:
            yield f"{one.path} is unchanged"
        else:
            output.write(one.path, one.file.text.encode(), mode=one.file.document.mode)
            yield f"wrote {one.path}"
        if one.needs_link:
            Path(one.link).symlink_to(one.target)
            yield f"enabled it: {one.link}"
        elif not one.file.document.is_active:
            yield f"{one.path} is not enabled"
        elif _remove_disabled(one):
            yield f"removed {one.path}{DISABLED}"


def _remove_disabled(one: Placed) -> bool:
    """Remove the file of an earlier run that was not enabled yet; return whether there was one, untouched."""
    old = text_of(one.path + DISABLED)
    if old is None or not is_intact(old):
        return False
    Path(one.path + DISABLED).unlink()
    return True
