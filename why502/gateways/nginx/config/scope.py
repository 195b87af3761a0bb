"""The settings in force at one level of the configuration.

A level inherits a directive, with all its occurrences, only if it does not set it itself. nginx merges arrays and single
values alike (the `ngx_conf_merge_*` macros of src/core/ngx_conf_file.h, and the `*_merge_loc_conf` functions).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from why502.gateways.nginx.config.defaults import PASSES
from why502.gateways.nginx.config.files import Directive
from why502.model.config import Setting

Settings = dict[str, tuple[Setting, ...]]

# Handlers and the directives of the rewrite module apply only to their own level; the rest is structure.
_OWN = frozenset(
    {
        *PASSES, "return", "rewrite", "set", "break", "if", "try_files", "internal", "empty_gif", "stub_status", "perl",
        "content_by_lua_block", "content_by_lua_file", "js_content", "server_name", "listen",
    }
)  # fmt: skip
_TOGETHER = (frozenset({"allow", "deny"}),)  # one list of rules (src/http/modules/ngx_http_access_module.c)


def inner(outer: Settings, directives: Iterable[Directive]) -> Settings:
    """Return the settings in force at a level with these directives, where `outer` is in force around it."""
    own: dict[str, list[Setting]] = {}
    for directive in directives:
        if directive.children is None or directive.name.endswith("_by_lua_block"):
            own.setdefault(directive.name, []).append(Setting(args=directive.args, at=directive.at))
    settings = outer.copy() if _OWN.isdisjoint(outer) else {name: found for name, found in outer.items() if name not in _OWN}
    for group in _TOGETHER:
        if not group.isdisjoint(own):
            for name in group:
                settings.pop(name, None)
    for name, found in own.items():
        settings[name] = tuple(found)
    return settings


def first(settings: Mapping[str, tuple[Setting, ...]], name: str) -> str:
    """Return the first argument of a directive in force; "" if it is not set."""
    found = settings.get(name)
    return found[-1].args[0] if found and found[-1].args else ""
