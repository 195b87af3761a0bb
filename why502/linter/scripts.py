"""Scripts and recipes beside a configuration: which files they change before a proxy reads them, and how they build nginx."""

from __future__ import annotations

import re

from why502.model.patterns import lazy

MOST_BYTES = 1 << 18
_RECIPES = ("dockerfile", "containerfile")
_SCRIPT = lazy(
    r"\.(?:sh|bash|zsh|ps1)$|^(?:docker-)?(?:entrypoint|start|run|init|bootstrap|install|setup|deploy)$|^(?:make|just|task)file\b"
)
# An image whose nginx is built with modules of others, or is a relative of nginx with directives of its own.
_OWN_BUILD = lazy(rb"--add-(?:dynamic-)?module=|^FROM\s+\S*(?:openresty|tengine|angie)", re.MULTILINE | re.IGNORECASE)
_CHANGES = lazy(rb"\b(?:sed|envsubst|perl|gomplate|dockerize|confd|j2|jinja2|mustache|mo|awk)\b")
_CONTINUED = lazy(rb"\\\r?\n")
_FILE = lazy(rb"(?<![\w.-])[\w.-]+\.(?:conf|cfg|vhost|service|socket)\b|(?<=sites-available/)[\w.-]+|(?<=sites-enabled/)[\w.-]+")


def is_script(name: str) -> bool:
    """Return whether a file is a shell script or the recipe of an image, by its name."""
    return name.lower().startswith(_RECIPES) or _SCRIPT.search(name.lower()) is not None


def builds_with_modules(name: str, text: bytes) -> bool:
    """Return whether the text is the recipe of an image with an nginx of its own."""
    return name.lower().startswith(_RECIPES) and _OWN_BUILD.search(text) is not None


def changed(text: bytes) -> frozenset[str]:
    """Return the names of configuration files that a line of a script changes, as `sed -i s/NAME/$NAME/ nginx.conf` does.

    The file in a repository is then a template, whatever its placeholders look like.
    """
    if not _CHANGES.search(text):
        return frozenset()
    lines = _CONTINUED.sub(b" ", text).splitlines()
    return frozenset(
        found.decode("latin-1")
        for line in lines
        if not line.lstrip().startswith(b"#") and _CHANGES.search(line)
        for found in _FILE.findall(line)
    )
