"""From the files of gateways other than nginx to deployments, for the products that have rules."""

from __future__ import annotations

import pkgutil
import posixpath
from collections.abc import Iterator, Mapping
from functools import cache

from why502.deployment.files import Deployment
from why502.gateways.detect import main_mark
from why502.gateways.running import by_kind, installed, understood
from why502.host.base import Host
from why502.linter import rules
from why502.machine.suppliers import Rights
from why502.model.errors import HostError
from why502.model.process import Process

ENDINGS = (".cfg",)  # beside those of nginx


@cache
def products() -> frozenset[str]:
    """Return the gateways that have rules of their own, as in `Proxy.kind`."""
    return frozenset(module.name for module in pkgutil.iter_modules(rules.__path__) if module.ispkg)


def deployments(host: Host, product: str, given: Mapping[str, str]) -> Iterator[tuple[Deployment, dict[str, str]]]:
    """Yield the deployments in files of a product (texts by path), each with the texts that it read.

    A main file in its usual place is read with what it includes. Elsewhere, fragments belong to the one main file beside them.
    """
    gateway = by_kind()[product]
    rights = Rights(host, 0)
    left = dict(given)
    for path in [path for path in given if path in gateway.MAIN.values()]:
        if path in left:
            texts = dict(_included(rights, product, path)) or {path: left[path]}
            left = {name: text for name, text in left.items() if name not in texts}
            yield _made(rights, product, texts, is_whole=True, is_here=True), texts
    homes: dict[str, dict[str, str]] = {}
    for path, text in left.items():
        homes.setdefault(posixpath.dirname(path), {})[path] = text
    for beside in homes.values():
        mains = [path for path, text in beside.items() if _is_main(product, text)]
        if len(mains) == 1 and len(beside) > 1:
            texts = {mains[0]: beside[mains[0]], **beside}
            yield _made(rights, product, texts, is_whole=True), texts
            continue
        for path, text in beside.items():
            yield _made(rights, product, {path: text}, is_whole=path in mains), {path: text}


def _made(rights: Rights, product: str, texts: Mapping[str, str], *, is_whole: bool, is_here: bool = False) -> Deployment:
    (read,) = understood(by_kind()[product], rights if is_here else None, list(texts.items()), lambda: None)
    return Deployment(configuration=read, product=product, is_whole=is_whole, is_here=is_here)


def _included(rights: Rights, product: str, path: str) -> list[tuple[str, str]]:
    """Return path and text of a main file and of what it includes; none if it cannot be read."""
    gateway = next(each for each in installed() if product == each.KIND)
    name = next(name for name, main in gateway.MAIN.items() if main == path)
    try:
        return list(gateway.texts(rights, Process(pid=0, name=name, argv=(name,)), [path]))
    except HostError:
        return []


def _is_main(product: str, text: str) -> bool:
    """Return whether a text is a main file of a product, whose fragments need it."""
    return main_mark(product).search(text) is not None
