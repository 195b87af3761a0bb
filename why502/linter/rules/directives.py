"""Directives that the nginx version does not support, or not in that block:
nginx rejects the reload and keeps the old configuration.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from why502.config import edit
from why502.deployment.files import Deployment, Level
from why502.deployment.rule import risk, rule
from why502.deployment.variants import directory_of, joined
from why502.gateways.nginx.arguments import form
from why502.gateways.nginx.config.files import Directive
from why502.gateways.nginx.directives import PLUS, Known, module_of, nearest, place, table
from why502.model.config import Position
from why502.model.errors import Why502Error
from why502.model.finding import Risk, Severity
from why502.model.patterns import lazy
from why502.model.proxy import ConfigProblem
from why502.model.remedy import Remedy

_INVALID = "proxy-config-invalid"
_OF_A_SERVER = frozenset({"location", "rewrite", "return", "if", "set"})
# Errors that depend on missing files: a fragment's groups and formats may be defined elsewhere.
_ELSEWHERE = lazy(r"^(?:unknown log format|no port in upstream|open\(\))")
# What placeholders seldom do: a brace or quotation mark that is lost or one too many.
_BALANCE = lazy(r"^unexpected ")
# Parameters newer than their directive: name, pattern of the argument, first version.
_WORDS = (
    ("listen", r"quic", (1, 25, 0)),
    ("proxy_http_version", r"2", (1, 29, 4)),
    ("server", r"max_conns=.*", (1, 11, 5)),
    ("server", r"resolve", (1, 27, 3)),
    ("log_format", r"escape=json", (1, 11, 8)),
    ("log_format", r"escape=none", (1, 13, 10)),
    ("error_log", r"syslog:.*", (1, 7, 1)),
    ("proxy_cookie_flags", r"~.*", (1, 19, 3)),
    ("ssl_protocols", r"TLSv1\.3", (1, 13, 0)),
)


def _known(deployment: Deployment, wanted: Callable[[Known], bool]) -> Iterator[tuple[Known, Directive]]:
    """Yield the directives that nginx's table has, and that are wanted by their row in it."""
    for name, uses in deployment.directives.items():
        known = table().get(name)
        if known and wanted(known):
            for _, directive in uses:
                yield known, directive


@rule(1, "configuration-refused", Severity.ERROR, _INVALID)
def refused(deployment: Deployment) -> Iterator[Risk]:
    """nginx refuses the configuration as it stands.

    A reload with it changes nothing, and the old configuration stays in use; after the next restart nothing runs at all.
    """
    is_sure = deployment.is_whole and all(level.is_known for level in deployment.blocks("http", ""))
    elsewhere = {directive.at for directive in _misplaced_at_the_top(deployment)}  # nginx stops there for its place, and sooner
    for problem in _first_problems(deployment):
        if problem.at in elsewhere:
            continue
        if problem.message.startswith("open()"):
            if not deployment.is_here:
                continue
        elif not is_sure and _ELSEWHERE.match(problem.message):
            continue
        is_doubtful = deployment.is_piece and not _BALANCE.match(problem.message)  # a placeholder of an unknown form is as likely
        yield risk(problem.message, problem.at, "correct it, then `nginx -t`", severity=Severity.NOTE if is_doubtful else None)


def _misplaced_at_the_top(deployment: Deployment) -> Iterator[Directive]:
    """Yield the directives outside of all blocks that are not allowed there."""
    for directive in deployment.levels[0].directives if deployment.is_whole else ():
        known = table().get(directive.name)
        if known and not known.may_stand(place(())):
            yield directive


def _first_problems(deployment: Deployment) -> Iterator[ConfigProblem]:
    """Yield the problems, except those in a file that follow from its first misplaced quotation mark or brace."""
    first: dict[str, ConfigProblem] = {}
    for tree in deployment.configuration.trees:
        for problem in tree.problems:
            first.setdefault(problem.source, problem)
            if first[problem.source] is problem and not _follows_from_a_missing_brace(problem, deployment):
                yield problem
    of_trees = {id(problem) for tree in deployment.configuration.trees for problem in tree.problems}
    yield from (problem for problem in deployment.configuration.problems if id(problem) not in of_trees)


def _follows_from_a_missing_brace(problem: ConfigProblem, deployment: Deployment) -> bool:
    """Return whether a closing brace is one too many because a block above lost its opening one, as in `location ~ \\.php${`."""
    return problem.message == 'unexpected "}"' and any(
        directive.children is None
        and (found := form(directive.name, level.path)) is not None
        and found.is_block
        and directive.at.file == problem.source
        and problem.at is not None
        and directive.at.start < problem.at.start
        for level in deployment.levels
        for directive in level.directives
    )


@rule(2, "unknown-directive", Severity.ERROR, _INVALID, depends_on_build=True)
def unknown(deployment: Deployment) -> Iterator[Risk]:
    """A directive does not exist, and one with a similar name does.

    nginx does not start with it (`unknown directive`). `proxy_busy_buffer_size` for `proxy_busy_buffers_size` is a common case.
    """
    for name, uses in deployment.directives.items():
        right = "" if name in table() or module_of(name) else nearest(name)
        for level, directive in uses if right else ():
            if level.path and not table()[right].may_stand(place(level.path)):
                continue
            yield risk(f'there is no directive "{name}"', directive.at, *_renamed(deployment, directive.at, name, right))


def _renamed(deployment: Deployment, at: Position, name: str, right: str) -> Iterator[Remedy | str]:
    if tree := deployment.trees.get(at.file):
        try:
            step = edit.replace(tree, at.start, at.start + len(name), right)
        except (Why502Error, ValueError):
            step = None
        if step is not None and step.before == name:
            yield Remedy(message=f"{right} may be meant", steps=(step,), safe=True)
            return
    yield f"{right} may be meant"


@rule(3, "directive-too-new", Severity.ERROR, _INVALID)
def too_new(deployment: Deployment) -> Iterator[Risk]:
    """A directive, or one of its parameters, is newer than the nginx that will run it.

    That nginx refuses the whole configuration. Set the version with --nginx-version.
    """
    words: dict[str, list[tuple[str, tuple[int, ...]]]] = {}
    for name, pattern, since in _WORDS:
        if not deployment.since(*since):
            words.setdefault(name, []).append((pattern, since))
    for name, uses in deployment.directives.items():
        known = table().get(name)
        if known and known.since and not deployment.since(*known.since):
            for _, directive in uses:
                yield risk(f'"{name}" was added in nginx {_dotted(known.since)}', directive.at, _UPGRADE)
        for pattern, version in words.get(name, ()):
            for _, directive in uses if name != "server" else (use for use in uses if use[0].name == "upstream"):
                for word in directive.args:
                    if re.fullmatch(pattern, word):
                        yield risk(f'"{name} … {word}" was added in nginx {_dotted(version)}', directive.at, _UPGRADE)


_UPGRADE = "remove it, or deploy that nginx first"


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)


@rule(4, "directive-removed", Severity.ERROR, _INVALID)
def removed(deployment: Deployment) -> Iterator[Risk]:
    """A directive was removed in the nginx that will run it.

    An upgrade of the package ends with `unknown directive`, and the new nginx does not start.
    """
    for known, directive in _known(deployment, lambda known: bool(known.removed)):
        if deployment.since(*known.removed) and not module_of(known.name):
            instead = "`listen … ssl`" if known.name == "ssl" else ""
            message = f'"{known.name}" was removed in nginx {_dotted(known.removed)}'
            yield risk(message, directive.at, f"write {instead} instead" if instead else "remove it")


@rule(5, "directive-without-effect", Severity.NOTE, _INVALID)
def obsolete(deployment: Deployment) -> Iterator[Risk]:
    """A directive is still accepted but no longer has any effect.

    nginx warns about it at each start; a later version will refuse it.
    """
    for known, directive in _known(deployment, lambda known: bool(known.obsolete)):
        if deployment.since(*known.obsolete):
            if not (known.removed and deployment.since(*known.removed)):
                yield risk(f'"{known.name}" has no effect since nginx {_dotted(known.obsolete)}', directive.at, "remove it")


@rule(6, "directive-misplaced", Severity.ERROR, _INVALID)
def misplaced(deployment: Deployment) -> Iterator[Risk]:
    """A directive is in a block where it is not allowed.

    nginx refuses the configuration: `directive is not allowed here`.
    """
    braces = _braces_too_many(deployment)
    for name, uses in deployment.directives.items():
        known = table().get(name)
        if not known or name == "include" or module_of(name):
            continue
        fine: set[tuple[str, ...]] = set()
        for level, directive in uses:
            if level.path in fine:
                continue
            if directive.at.start < braces.get(directive.at.file, 0) and (level.at is None or level.at.file != directive.at.file):
                continue  # it may have been in a block whose beginning is lost: the brace is reported
            letter = place(level.path)
            if not letter or known.may_stand(letter) or (not level.path and not deployment.is_whole):
                fine.add(level.path)
                continue
            if not (name == "server" and directive.children is None) and _is_rooted(level, deployment):
                where = f"in {level.name}" if level.path else "outside of all blocks"
                severity = joined(level.at, directive.at, deployment.is_here)
                if severity and _is_of_a_server(directive, deployment):
                    severity = Severity.NOTE
                message = f'"{name}" is not allowed {where}'
                yield risk(message, directive.at, "move it to a block where it is", severity=severity)


def _is_of_a_server(directive: Directive, deployment: Deployment) -> bool:
    """Return whether a directive may be there for a server that includes its file.

    In a repository a directory that `http` includes as a whole can also hold such a piece: `location` blocks in `conf.d`. Files
    in `sites-enabled` are deployed as they are.
    """
    home = directory_of(directive.at)
    return directive.name in _OF_A_SERVER and home in deployment.patterned and home != "sites-enabled"


def _braces_too_many(deployment: Deployment) -> dict[str, int]:
    """Return, by file, where a block is closed that was never opened."""
    return {
        problem.at.file: problem.at.start
        for tree in deployment.configuration.trees
        for problem in tree.problems
        if problem.at and problem.message == 'unexpected "}"'
    }


def _is_rooted(level: Level, deployment: Deployment) -> bool:
    """Return whether the block's context is known: a fragment starts somewhere within `http` or `stream`."""
    is_known = deployment.is_whole or level.path[:1] in (("http",), ("stream",), ("mail",), ("events",))
    return is_known and not any(_is_misplaced(outer) for outer in level.outwards)


def _is_misplaced(block: Level) -> bool:
    """Return whether a block itself stands where it is not allowed: that is told, and what is in it is not in place either."""
    known, letter = table().get(block.name), place(block.path[:-1])
    return bool(known and letter and not known.may_stand(letter))


@rule(7, "module-not-in-nginx", Severity.WARNING, "proxy-module-missing", depends_on_build=True)
def other_module(deployment: Deployment) -> Iterator[Risk]:
    """A directive belongs to nginx Plus or to a patched build, not to the nginx of the packages.

    The packaged nginx refuses the configuration with `unknown directive`. Active health checks are the usual case: the open
    source server has passive ones only.
    """
    seen = set()
    others = [
        name
        for name in deployment.directives
        if module_of(name).startswith((PLUS, "nginx_upstream_check")) and not ((known := table().get(name)) and not known.removed)
    ]
    for directive in (directive for level in deployment.levels if others and level.path for directive in level.own(*others)):
        module = module_of(directive.name)
        if module in seen:
            continue
        seen.add(module)
        severity = Severity.NOTE if module == PLUS else None  # users who pay for it have it
        advice = (
            "use max_fails and fail_timeout, or check from outside" if "check" in directive.name else "make sure the build has it"
        )
        yield risk(f'"{directive.name}" needs {module}', directive.at, advice, severity=severity)


@rule(8, "check-request-unfinished", Severity.WARNING, "health-check-misconfigured")
def unfinished_check(deployment: Deployment) -> Iterator[Risk]:
    """The request of `check_http_send` does not end with an empty line.

    The backend waits for the rest of the request, the check times out, and every server is marked down.
    """
    for level in deployment.blocks("upstream"):
        for directive in level.own("check_http_send"):
            sent = "".join(directive.args).replace("\\r", "\r").replace("\\n", "\n")
            if "\r\n\r\n" not in sent and "\n\n" not in sent:  # the rest is the body
                yield risk("the health check's request does not end with an empty line", directive.at, r"end it with \r\n\r\n")


@rule(9, "flag-neither-on-nor-off", Severity.ERROR, _INVALID)
def not_a_flag(deployment: Deployment) -> Iterator[Risk]:
    """A switch has a value other than on or off.

    nginx refuses the configuration: `it must be "on" or "off"`.
    """
    for known, directive in _known(deployment, lambda known: known.is_flag):
        if len(directive.args) == 1 and directive.args[0].lower() not in ("on", "off"):
            if "$" not in directive.args[0]:
                yield risk(f'"{known.name}" must be on or off, not "{directive.args[0]}"', directive.at, "write on or off")
