"""Which backend of HAProxy gets a request: rules that are refused, never reached, or lead to nothing.

Source: doc/configuration.txt, 4.2 (use_backend, default_backend), 7.1 and 7.4 (ACLs, predefined ACLs); src/cfgparse.c,
check_config_validity.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.gateways.haproxy.config.sections import Section
from why502.linter.rules.haproxy.proxies import BACKS, FRONTS, all_of, mode, proxies, rules, servers
from why502.model.config import Position
from why502.model.finding import Risk, Severity

_INVALID = "proxy-config-invalid"
_WITH_CONDITION = (
    *("use_backend", "use-server", "http-request", "http-response", "http-after-response", "tcp-request", "tcp-response"),
    *("redirect", "block", "monitor", "stick", "force-persist", "ignore-persist"),
)
_ANSWERS = frozenset({"return", "deny", "redirect", "use-service", "tarpit", "reject", "silent-drop", "auth"})
_OWN_PAGES = frozenset(
    "redirect dispatch stats errorfile errorfiles http-error errorloc errorloc302 errorloc303 monitor-uri block".split()
)


@rule(304, "haproxy-backend-not-defined", Severity.ERROR, _INVALID)
def undefined(deployment: Deployment) -> Iterator[Risk]:
    """A rule names a backend that does not exist.

    HAProxy refuses the configuration: `unable to find required default_backend`, `unable to find required use_backend`.
    """
    if not deployment.is_whole:
        return
    known = {section.name for section in all_of(deployment) if section.kind in BACKS}
    for section in proxies(deployment, *FRONTS):
        for line in rules(section, "use_backend", "default_backend"):
            name = line.words[1] if len(line.words) > 1 else ""
            if name and name not in known and not {"%", "$"} & set(name):
                yield risk(f'there is no backend "{name}"', line.at, "define it, or correct the name")


@rule(305, "haproxy-mode-differs", Severity.ERROR, _INVALID)
def modes(deployment: Deployment) -> Iterator[Risk]:
    """A frontend and the backend that it uses have different modes.

    HAProxy refuses the configuration: `http frontend … tries to use incompatible tcp backend`. `tcp` is the default: often one
    section simply does not inherit `mode http` from `defaults`.
    """
    if not deployment.is_whole:
        return
    modes = {section.name: mode(section) for section in all_of(deployment) if section.kind in BACKS}
    for section in proxies(deployment, *FRONTS):
        if mode(section) != "http":
            continue  # a tcp frontend may lead to an http backend: it is upgraded
        for line in rules(section, "use_backend", "default_backend"):
            name = line.words[1] if len(line.words) > 1 else ""
            if modes.get(name) == "tcp":
                yield risk(
                    f'"{section.name}" is in mode http, and backend "{name}" in mode tcp', line.at, "set `mode http` in both"
                )


@rule(306, "haproxy-rule-never-reached", Severity.WARNING, "route-target-missing")
def unreached(deployment: Deployment) -> Iterator[Risk]:
    """A `use_backend` follows one without a condition, which takes every request.

    HAProxy stops at the first rule that applies.
    """
    for section in proxies(deployment, *FRONTS):
        always: Position | None = None
        for line in rules(section, "use_backend"):
            if always is not None:
                yield risk(
                    f'"{line.words[1]}" is never used: the rule at {always} takes every request',
                    line.at,
                    "give that one a condition",
                )
            elif len(line.words) == 2 and "%" not in line.words[1]:
                always = line.at


@rule(307, "haproxy-acl-not-defined", Severity.ERROR, _INVALID)
def no_acl(deployment: Deployment) -> Iterator[Risk]:
    """A condition names an ACL that is not defined above it.

    HAProxy refuses the configuration: `no such ACL`. An ACL belongs to its own section, and applies from its line on.
    """
    for section in proxies(deployment, "frontend", "backend", "listen"):
        known: set[str] = set()
        for line in section.inherited():
            words = line.words
            if words[0] == "acl" and len(words) > 1:
                known.add(words[1])
            elif words[0] in _WITH_CONDITION and (section.base is None or not section.base.name):
                for name in _acls(words):
                    if name not in known and not _is_predefined(name):
                        yield risk(f'no ACL "{name}" is defined above', line.at, f"define it above this line: `acl {name} …`")


def _acls(words: tuple[str, ...]) -> Iterator[str]:
    """Yield the names of the ACLs in the condition of a line."""
    start = max((number for number, word in enumerate(words) if word in ("if", "unless")), default=-1)
    if start < 2:
        return
    is_anonymous = False
    for word in words[start + 1 :]:
        if word.lstrip("!") == "{":
            is_anonymous = True
        elif word == "}":
            is_anonymous = False
        elif not is_anonymous and word not in ("or", "||", "!") and "$" not in word:
            yield word.lstrip("!")


def _is_predefined(name: str) -> bool:
    return name.replace("_", "").replace(".", "").isupper() or name.startswith(("HTTP_", "METH_", "REQ_"))


@rule(308, "haproxy-backend-empty", Severity.NOTE, "no-upstream-members")
def empty(deployment: Deployment) -> Iterator[Risk]:
    """A backend that is used has no servers and answers nothing itself.

    Every request to it gets 503, unless a program adds servers (through the admin socket, or by writing this file).
    """
    used = _used(deployment)
    for section in proxies(deployment, "backend"):
        is_filled = any(True for _ in rules(section, "use-server"))  # names servers that a program adds
        if servers(section) or section.name not in used or _answers(section) or is_filled:
            continue
        yield risk(f'backend "{section.name}" has no servers', section.at, "add a `server`, or `http-request return`")


def _answers(section: Section) -> bool:
    for line in section.inherited():
        first, *rest = line.words
        if first in _OWN_PAGES:
            return True
        if first in ("http-request", "tcp-request") and _ANSWERS & set(rest):
            return True
        if line.words[:2] in (("option", "http_proxy"), ("option", "transparent")):
            return True
    return False


@rule(309, "haproxy-backend-unused", Severity.NOTE, "route-target-missing")
def unused(deployment: Deployment) -> Iterator[Risk]:
    """No frontend leads to a backend that has servers.

    Its requests go to another backend, or get 503 where there is no `default_backend`.
    """
    for section in proxies(deployment, "backend"):
        if section.name in unused_backends(deployment) and servers(section):
            yield risk(f'nothing uses backend "{section.name}"', section.at, "add a `use_backend`, or remove it")


@lru_cache(4)
def unused_backends(deployment: Deployment) -> frozenset[str]:
    """Return the names of the backends that no frontend leads to; none if that cannot be known."""
    if not deployment.is_whole or not any(True for _ in proxies(deployment, *FRONTS)) or _chooses_by_data(deployment):
        return frozenset()
    return frozenset(section.name for section in proxies(deployment, "backend")) - _used(deployment)


def _used(deployment: Deployment) -> frozenset[str]:
    lines = (line for section in all_of(deployment) for line in section.inherited())
    return frozenset(name for line in lines for name in _named(line.words))


def _named(words: tuple[str, ...]) -> tuple[str, ...]:
    return words[1:2] if words[0] in ("use_backend", "default_backend") else ()


def _chooses_by_data(deployment: Deployment) -> bool:
    """Return whether a rule computes the name of a backend, or something outside of the rules may name one (Lua, a filter)."""
    for section in all_of(deployment):
        for line in section.lines:
            if line.words[0] in ("lua-load", "lua-load-per-thread", "filter") or line.condition:
                return True
            if any({"%", "$"} & set(name) for name in _named(line.words)):
                return True
    return False
