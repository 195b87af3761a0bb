"""Requests that reach the backend with another path than meant, or do not reach it."""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment, Level
from why502.deployment.rule import risk, rule
from why502.gateways.nginx.config.files import Directive
from why502.gateways.nginx.config.match import compiled
from why502.gateways.nginx.config.passes import target
from why502.linter.rules.rewrite_cycles import location_of, name_of
from why502.model.finding import Risk, Severity
from why502.model.patterns import lazy

_URL = lazy(r"https?://(?P<host>[^/$]+)(?:[/$].*)?")
_TWICE = lazy(r"https?://[^/]+/\$\{?request_uri\}?")
_DECODED = lazy(r"https?://[^/$]*(?:\$\w+(?:[^\w/$][^/$]*)?)?\$\{?uri\}?(?:\$.*)?")
_CAPTURED = lazy(r"https?://[^/]+/[^$]*\$(?:[1-9]|\{[1-9]\})")
_ITSELF = lazy(r"\$scheme://\$(?:http_)?host\$request_uri")
_SAME = lazy(r"(?P<scheme>\$scheme|https?)://(?P<name>[\w.-]+)(?::(?P<port>\d{1,5}))?\$\{?request_uri\}?")
_ENDS = ("break", "redirect", "permanent")


@rule(196, "path-passed-differently", Severity.NOTE, "proxy-target-invalid")
def path_differs(deployment: Deployment) -> Iterator[Risk]:
    """The path that the backend gets has two slashes, is decoded, or has lost the query.

    `location /api` with `proxy_pass http://app/` gives `//x` for `/api/x`. `$uri` is decoded: a space in it breaks the request
    line. A captured part comes without the query.
    """
    for level, directive in deployment.uses("proxy_pass"):
        text = directive.args[0] if directive.args else ""
        path = level.args[-1] if level.name == "location" and level.args and level.args[0] in ("^~", level.args[-1]) else ""
        is_whole = text.endswith("/") and text.count("/") == 3
        if is_whole and path.startswith("/") and not path.endswith("/") and _URL.fullmatch(text):
            yield risk(f"{path}/x becomes //x", directive.at, f"write location {path}/")
        elif "$" not in text:
            continue
        elif _TWICE.fullmatch(text):
            yield risk("the path begins with two slashes", directive.at, "remove the slash before $request_uri")
        elif _DECODED.fullmatch(text):
            yield risk("$uri is decoded: a space or a line break in it reaches the backend", directive.at, "use $request_uri")
        elif _CAPTURED.fullmatch(text):
            yield risk("the query is not passed on", directive.at, "add $is_args$args")


@rule(197, "redirect-instead-of-pass", Severity.WARNING, "proxy-target-invalid")
def redirected(deployment: Deployment) -> Iterator[Risk]:
    """The client is redirected to an address that only this machine knows, or to the same URL again.

    `rewrite` and `return` with a URL answer with a redirect. They do not pass the request on.
    """
    for level, directive in deployment.uses("return", "rewrite"):
        args = directive.args
        place = 1 if len(args) > 1 else 0
        url = _URL.fullmatch(args[place]) if len(args) > place else None
        found = target(url["host"]) if url else None
        is_group = url is not None and "." not in url["host"] and url["host"].lower() in deployment.groups
        if url and (is_group or (found is not None and found.is_loopback and found.host != "localhost")):
            yield risk(f"the client is redirected to {url['host']}", directive.at, "use proxy_pass")
        elif directive.name == "return" and args[:1] != () and args[0].startswith("30") and _ITSELF.fullmatch(args[-1]):
            if not any(outer.name == "if" for outer in level.outwards):
                yield risk("the redirect leads to the same URL", directive.at, "write https://, or the new name")
        elif directive.name == "return" and args[:1] != () and args[0].startswith("30") and _leads_back(level, args[-1]):
            yield risk("the redirect leads to this server again", directive.at, "write the new name, or remove the old one")


def _leads_back(server: Level, url: str) -> bool:
    """Return whether a redirect of a whole server leads to one of its names, at an address where it listens alone."""
    match = _SAME.fullmatch(url) if server.name == "server" and not server.own("if", "rewrite", "include") else None
    names = {name.lower() for line in server.own("server_name") for name in line.args}
    if match is None or match["name"].lower() not in names:
        return False
    listens = [line.args for line in server.own("listen") if line.args] or [("80",)]
    ways = {(_port(args[0]), "https" if "ssl" in args[1:] else "http") for args in listens}
    default = {"http": 80, "https": 443}
    to = (
        {(int(match["port"] or default[scheme]), scheme) for _, scheme in ways}
        if match["scheme"] == "$scheme"
        else {(int(match["port"] or default[match["scheme"]]), match["scheme"])}
    )
    return to == ways


def _port(address: str) -> int:
    """Return the port of a `listen`: 80 by default, 0 for a socket."""
    tail = address.rpartition("]")[2] if "]" in address else address
    text = tail.rpartition(":")[2] if ":" in tail else tail
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0 if address.startswith("unix:") else 80


@rule(198, "rewrite-leaves-the-location", Severity.WARNING, "route-not-found")
def leaves(deployment: Deployment) -> Iterator[Risk]:
    """A rewrite without `break` leads to another location, so that the pass directive beside it is not used.

    After such a rewrite nginx looks for the location again, with the new path.
    """
    for level in deployment.blocks("location") if deployment.uses("rewrite") else ():
        server = level.around
        passes = level.own("proxy_pass", "fastcgi_pass", "uwsgi_pass", "grpc_pass")
        if server is None or server.name != "server" or not server.is_known or not passes:
            continue
        for directive in level.own("rewrite"):
            args = directive.args
            if len(args) < 2 or (args[2:3] and args[2] in _ENDS) or not args[1].startswith("/"):
                continue
            new = args[1].partition("?")[0]
            if "$" in new.replace("$1", "", 1) or not args[0].endswith(("(.*)$", "(.*)", "(.+)$", "(.+)")):
                continue
            first = compiled(args[0], False)
            own = level.args[-1] if level.args else ""
            if first is None or not own.startswith("/") or not first.search(own.rstrip("/") + "/x"):
                continue
            place = location_of(server, new.replace("$1", "x"))
            if place and place != name_of(level) and not _passes_alike(server, place, passes[0]):
                message = f"{new} belongs to location {place}: {passes[0].name} here is not used"
                yield risk(message, directive.at, "end the rewrite with `break`")
                break


def _passes_alike(server: Level, name: str, own: Directive) -> bool:
    """Return whether the location of that name passes to the same target."""
    for directive in server.own("location"):
        if " ".join(directive.args) == name:
            return any(line.name == own.name and line.args == own.args for line in directive.children or ())
    return False


@rule(199, "never-passed", Severity.WARNING, "route-not-found")
def never_passed(deployment: Deployment) -> Iterator[Risk]:
    """A pass directive or a fallback is never reached, because something before it answers.

    `return` comes before `proxy_pass`, `try_files … =404` answers for every path that is not a file, only its last argument may
    be a named location, and the first regular expression that matches wins. Of two pass directives, the last one holds.
    """
    for level in deployment.blocks("location"):
        passes = level.own("proxy_pass", "fastcgi_pass", "uwsgi_pass", "grpc_pass")
        answers = level.own("return")
        tries = level.own("try_files")
        for directive in passes:
            if directive.name != passes[-1].name:
                message = f"{passes[-1].name} below replaces {directive.name}"
                yield risk(message, directive.at, "remove it", severity=Severity.NOTE)
        if passes and answers:
            yield risk(f"`return` answers before {passes[0].name}", answers[0].at, "remove one of them")
        elif passes and tries and passes[0].name != "fastcgi_pass" and tries[0].args[-1:] == ("=404",):
            yield risk(f"only files on the disk reach {passes[0].name}", tries[0].at, "fall back on a named location")
    for _, directive in deployment.uses("try_files"):
        # `try_files @name @name` needs two arguments, and the first is no file: a usual way to jump to a named location
        if any(word.startswith("@") and word != directive.args[-1] for word in directive.args[:-1]):
            yield risk("a named location before the last argument is taken for a file", directive.at, "make it the last")
        elif directive.args[-1:] and directive.args[-1].startswith(("http://", "https://")):
            yield risk("try_files does not pass on to a URL", directive.at, "fall back on a named location with proxy_pass")
    for _, directive in deployment.uses("error_page"):
        if len(directive.args) > 1 and directive.args[-1].startswith("=@"):
            message = f"{directive.args[-1]} is taken for a URL"
            yield risk(message, directive.at, f"write = {directive.args[-1][1:]}")
    for level in deployment.blocks("server"):
        wide: Directive | None = None
        for directive in level.own("location"):
            if len(directive.args) == 2 and directive.args[0] in ("~", "~*"):
                if wide is not None:
                    yield risk(f"the location at {wide.at} matches before", directive.at, "put the narrower expression first")
                elif directive.args[1] in ("/", "^/", ".*", "^/.*", "^/(.*)$", "^.*$", "."):
                    wide = directive


@rule(200, "if-without-try-files", Severity.NOTE, "route-not-found")
def try_files_lost(deployment: Deployment) -> Iterator[Risk]:
    """`try_files` does not hold in an `if` of the same location.

    When the condition is true, nginx handles the request as the `if` block says, and that inherits no `try_files`.
    """
    for level in deployment.blocks("location"):
        for block in level.own("if"):
            names = {line.name for line in block.children or ()}
            if level.own("try_files") and not names & {"return", "rewrite"} and not any(name.endswith("_pass") for name in names):
                yield risk("try_files does not hold where this condition is true", block.at, "set the value with a `map`")
