"""ProxyPass lines that never apply, or make another URL than meant.

Source: the documentation of mod_proxy (ProxyPass: ordering, trailing slashes, `!`); modules/proxy/mod_proxy.c, proxy_trans.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.gateways.apache.config.directives import Directive
from why502.gateways.apache.config.load import SHARED
from why502.linter.rules.apache.hosts import by_host, is_below, parts, passes, value
from why502.model.config import Position
from why502.model.finding import Risk, Severity


@rule(400, "proxypass-never-reached", Severity.WARNING, "route-target-missing")
def unreached(deployment: Deployment) -> Iterator[Risk]:
    """A ProxyPass comes after one that takes all its requests.

    The first ProxyPass that matches is used. `/` before `/api` sends every request of `/api` to the backend of `/`; an exclusion
    (`!`) after it excludes nothing.
    """
    for lines in by_host(deployment).values():
        earlier: dict[str, Position] = {}
        for each in passes(lines):
            if each.is_place:
                continue
            ends = sorted({len(each.path), *(end for slash in re.finditer("/", each.path) for end in slash.span() if end)})
            above = (each.path[:end] for end in ends)  # the paths that it can be below
            takes = [path for path in above if path in earlier and is_below(each.path, path) and "${" not in path]
            if takes:
                taken = min(takes, key=lambda path: earlier[path].start)
                message = f"{each.path} is never reached: {taken} at {earlier[taken]} takes its requests"
                yield risk(message, each.at.at, "put the longer path first")
            elif each.path.startswith("/"):
                earlier.setdefault(each.path, each.at.at)


@rule(401, "slash-lost-in-proxypass", Severity.WARNING, "proxy-target-invalid")
def slash_lost(deployment: Deployment) -> Iterator[Risk]:
    """The path of a ProxyPass ends with a slash, and its URL does not.

    What follows the path is appended unchanged: with `/app/ http://backend/app`, `/app/x` becomes `/appx`. Without any path, as
    in `/ http://backend:8080`, it becomes part of the host or port: the lookup fails, and the client gets an error.
    """
    for lines in by_host(deployment).values():
        for each in passes(lines):
            url = parts(each.url)
            if url is None or not each.path.endswith("/") or each.url.endswith(("/", "=")) or "$" in each.url:
                continue
            if url["scheme"].lower() in ("http", "https", "ws", "wss", "h2", "h2c") and "?" not in each.url:
                if not (url["path"] or each.path != "/" or url["host"]):
                    continue
                yield risk(f"{each.path}x becomes {each.url}x", each.at.at, f"end the URL with a slash: {each.url}/")


@rule(402, "slash-doubled-in-proxypass", Severity.NOTE, "route-not-found")
def slash_doubled(deployment: Deployment) -> Iterator[Risk]:
    """The URL of a ProxyPass ends with a slash, and its path does not.

    With `/app http://backend/`, `/app/x` becomes `//x`. Some backends do not recognise that path.
    """
    for lines in by_host(deployment).values():
        for each in passes(lines):
            if each.url.endswith("/") and parts(each.url) and not each.path.endswith("/") and each.path.startswith("/"):
                if not each.url.startswith("balancer:"):
                    yield risk(
                        f"{each.path}/x becomes {each.url}/x", each.at.at, f"end both with a slash: {each.path}/ {each.url}"
                    )


@rule(403, "worker-parameters-ignored", Severity.WARNING, "proxy-worker-sharing")
def ignored(deployment: Deployment) -> Iterator[Risk]:
    """A ProxyPass has parameters that httpd ignores, because an earlier line has defined the same worker.

    Workers are found by the beginning of their URL. `/a http://backend/ timeout=5` also applies to
    `/b http://backend/b timeout=60`.
    """
    seen = set()
    for route in deployment.configuration.routes:
        for setting in route.settings.get(SHARED, ()):
            url, *words = setting.args
            if words and route.at not in seen:
                seen.add(route.at)
                message = (
                    f"{' '.join(words)} {'is' if len(words) == 1 else 'are'} ignored: the worker {url} at {setting.at} is shared"
                )
                yield risk(message, route.at, "put the longer URL first, or give both the same parameters")


@rule(404, "proxied-to-itself", Severity.WARNING, "proxy-loop")
def to_itself(deployment: Deployment) -> Iterator[Risk]:
    """A ProxyPass leads to the address of the only virtual host of its port: to itself.

    Each request is passed on repeatedly, until no worker is left.
    """
    hosts = by_host(deployment)
    ports: dict[str, list[int]] = {}
    for number, lines in hosts.items():
        if number and lines:
            for word in lines[0].scope.address.split():
                ports.setdefault(word.rpartition(":")[2], []).append(number)
    for number, lines in hosts.items():
        address = lines[0].scope.address if number and lines else ""
        for each in passes(lines):
            url = parts(each.url)
            if url is None or not address or url["scheme"].lower() not in ("http", "https"):
                continue
            port = url["port"] or ("443" if url["scheme"].lower() == "https" else "80")
            is_ours = url["host"] in ("127.0.0.1", "localhost", "[::1]") and address.split()[0].rpartition(":")[0] in (
                "*",
                "_default_",
            )
            path = url["path"] or "/"
            if is_ours and ports.get(port) == [number] and is_below(path, each.path):
                yield risk(f"{each.url} is this virtual host itself", each.at.at, "name the address of the application")


@rule(405, "redirects-name-the-backend", Severity.NOTE, "wrong-host-header")
def not_reversed(deployment: Deployment) -> Iterator[Risk]:
    """A backend's redirects are passed on unchanged: neither ProxyPassReverse nor ProxyPreserveHost is set.

    An application that builds redirects from the Host header sends clients to an address such as `http://127.0.0.1:3000/`, which
    they cannot reach.
    """
    for lines in by_host(deployment).values():
        if any(each.name == "proxypassreverse" for each in lines) or value(lines, "proxypreservehost") == "on":
            continue
        if value(by_host(deployment)[0], "proxypreservehost") == "on":
            continue
        first = next(
            (each for each in passes(lines) if each.url.lower().startswith(("http://", "https://", "balancer://"))), None
        )
        if first is not None:
            advice = f"add `ProxyPassReverse {first.path} {first.url}`"
            yield risk(f"redirects from {first.url} are not changed", first.at.at, advice)


@rule(407, "reverse-of-another-address", Severity.WARNING, "wrong-host-header")
def reverse_differs(deployment: Deployment) -> Iterator[Risk]:
    """A ProxyPassReverse has the path of a ProxyPass, but another scheme, host or port than its target.

    httpd compares the text: it changes only redirects that begin with the URL of a ProxyPassReverse. The others reach the client
    with the backend's address, such as `http://127.0.0.1:3000/`.
    """
    hosts = by_host(deployment)
    for lines in hosts.values():
        every = lines if lines is hosts[0] else [*hosts[0], *lines]
        if value(every, "proxypreservehost") == "on" or any(_changes_location(each) for each in every):
            continue
        targets = [(each, key) for each in passes(lines) if (key := _address(each.url))]
        backs = [(each, key) for each in passes(every, "proxypassreverse") if (key := _address(each.url))]
        reversed_ = {key for _, key in backs}
        for back, key in backs:
            same = next((target for target in targets if target[0].path == back.path and target[1] not in reversed_), None)
            if same is None or not (key[1] == same[1][1] or _is_address(key[1])):
                continue  # another name may be the one that the application itself is configured with
            message = f"redirects from {same[0].url} are not changed: they do not begin with {back.url}"
            advice = f"write `ProxyPassReverse {back.path} {same[0].url}`"
            yield risk(message, back.at.at, advice, severity=None if deployment.is_whole else Severity.NOTE)


def _address(url: str) -> tuple[str, str, str] | None:
    """Return scheme, host and port of a URL of one backend as httpd compares them; None for others."""
    found = parts(url)
    scheme = found["scheme"].lower() if found else ""
    if found is None or scheme not in ("http", "https") or "$" in url:
        return None
    return scheme, found["host"].lower(), found["port"] or ("443" if scheme == "https" else "80")


def _is_address(host: str) -> bool:
    return host == "localhost" or re.fullmatch(r"[0-9.]{7,15}|\[[0-9a-f:.]{2,40}\]", host) is not None


def _changes_location(line: Directive) -> bool:
    return line.name == "header" and any(word.lower() == "location" for word in line.args[:4])


@rule(406, "rewrite-engine-off", Severity.WARNING, "route-target-missing")
def engine_off(deployment: Deployment) -> Iterator[Risk]:
    """A RewriteRule passes requests on (`[P]`), but `RewriteEngine On` is missing in its virtual host.

    A virtual host does not inherit it: the rule is silently ignored, and Apache looks for a file instead.
    """
    for number, lines in by_host(deployment).items():
        if any(each.name in ("rewriteengine", "rewriteoptions") for each in lines) or not number:
            continue
        for each in lines:
            flags = each.args[2].strip("[]").lower().split(",") if each.name == "rewriterule" and len(each.args) > 2 else []
            if {"p", "proxy"} & set(flags) and not each.scope.section:
                yield risk("the rule is ignored", each.at, "add `RewriteEngine On` to this virtual host")
