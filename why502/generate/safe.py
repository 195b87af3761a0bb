"""Text that may reach a generated file: only what a quoting function of its format made, or what the emitter itself wrote.

Templates refuse everything else, so no word of a user can end a directive and begin another one.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING

from why502.model.patterns import lazy

if TYPE_CHECKING:
    import jinja2

_BARE = lazy(r"[A-Za-z0-9_./:@%+,=~*\[\]-]+", re.ASCII)
_CONTROL = lazy(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Safe(str):
    """Text that fits its format as it is. Made by a function of this module, or from a constant of an emitter."""

    __slots__ = ()


NOTHING = Safe("")


class UnsafeError(ValueError):
    """A value has no form in this format. The options are checked before, so this is a defect of an emitter."""


def nginx(value: str | int) -> Safe:
    """Return one word of nginx's configuration, quoted where needed. Raises UnsafeError.

    nginx has no way to write a `$` that begins no variable (src/http/ngx_http_script.c).
    """
    text = str(value)
    if "$" in text or _CONTROL.search(text):
        raise UnsafeError(f"{text!r} cannot be written in an nginx configuration")
    if _BARE.fullmatch(text):
        return Safe(text)
    return Safe('"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"')


def ini(value: str | int) -> Safe:
    """Return the value of a setting in a file of `name = value` lines: a unit, a pool, supervisord. Raises UnsafeError."""
    text = str(value)
    if _CONTROL.search(text) or text != text.strip() or text.endswith("\\"):
        raise UnsafeError(f"{text!r} cannot be written in one line")
    return Safe(text)


def quoted(value: object) -> Safe:
    """Return a text, number, list or object as JSON, which is also YAML and JavaScript."""
    text = json.dumps(value, ensure_ascii=True)
    return Safe(text.replace("</", "<\\/"))


def toml(value: str | float | list[str]) -> Safe:
    """Return a text, number or list of texts as TOML. Raises UnsafeError."""
    if isinstance(value, list):
        return Safe(f"[{', '.join(toml(one) for one in value)}]")
    if isinstance(value, int | float):
        return Safe(repr(value))
    if _CONTROL.search(value) or not value.isprintable():
        raise UnsafeError(f"{value!r} cannot be written in one line")
    return Safe('"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"')


def comment(text: str) -> Safe:
    """Return a text for the rest of one line: without line breaks and control characters."""
    return Safe(_CONTROL.sub(" ", text).strip())


def bare(value: str | int) -> Safe:
    """Return a word of letters, digits and the signs of paths and addresses, which no format quotes. Raises UnsafeError."""
    text = str(value)
    if not _BARE.fullmatch(text):
        raise UnsafeError(f"{text!r} needs quoting")
    return Safe(text)


def _finalize(value: object) -> str:
    if not isinstance(value, Safe):
        raise UnsafeError(f"a template got {value!r}, which nothing has quoted")
    return value


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("why502.generate", "."),
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - no HTML: what is not Safe is refused, in every format
    )


def fill(template: str, **values: object) -> str:
    """Return a template (`nginx/site.conf.j2`) with these values. Raises UnsafeError, jinja2.UndefinedError."""
    indents = {"indent": Safe(""), "deeper": Safe("    "), "deepest": Safe("        ")}
    return _environment().get_template(template).render(**indents, **values)
