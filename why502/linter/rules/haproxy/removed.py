"""Keywords that HAProxy no longer accepts.

Source: src/cfgparse-listen.c, src/cfgparse-global.c and src/proxy.c (`not supported any more since HAProxy …`); CHANGELOG.
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.linter.rules.haproxy.proxies import all_of
from why502.model.finding import Risk, Severity

_EVERY = ("global", "defaults", "frontend", "backend", "listen")
# Keyword: the first version that refuses it, and what to write instead.
_REMOVED = {
    "appsession": ("1.6", "use `cookie` or `stick-table`"),
    "option forceclose": ("2.0", "remove it, or use `option httpclose`"),
    "contimeout": ("2.1", "use `timeout connect`"),
    "clitimeout": ("2.1", "use `timeout client`"),
    "srvtimeout": ("2.1", "use `timeout server`"),
    "redispatch": ("2.1", "use `option redispatch`"),
    "option http-tunnel": ("2.1", "remove it"),
    "block": ("2.1", "use `http-request deny`"),
    **{
        f"req{case}{action}": ("2.1", f"use `http-request {new}`")
        for action, new in {
            "allow": "allow",
            "del": "del-header",
            "deny": "deny",
            "rep": "replace-header",
            "tarpit": "tarpit",
        }.items()
        for case in ("", "i")
    },
    "reqadd": ("2.1", "use `http-request add-header`"),
    **{
        f"rsp{case}{action}": ("2.1", f"use `http-response {new}`")
        for action, new in {"del": "del-header", "deny": "deny", "rep": "replace-header"}.items()
        for case in ("", "i")
    },
    "rspadd": ("2.1", "use `http-response add-header`"),
    "option http_proxy": ("2.5", "use `http-request do-resolve` and `set-dst`"),
    "grace": ("2.5", "remove it"),
    "nbproc": ("2.5", "remove it: HAProxy uses threads"),
}


@rule(318, "haproxy-keyword-removed", Severity.WARNING, "proxy-config-invalid")
def removed(deployment: Deployment) -> Iterator[Risk]:
    """A keyword was removed in a version of HAProxy that is old itself.

    The old HAProxy accepts it. After an upgrade of the package the new one does not start: `not supported any more since
    HAProxy`.
    """
    seen = set()
    for section in all_of(deployment):
        for line in section.lines if section.kind in _EVERY else ():
            found = next((name for name in (line.words[0], " ".join(line.words[:2])) if name in _REMOVED), None)
            if found is None or line.condition or line.at in seen:
                continue
            seen.add(line.at)
            version, instead = _REMOVED[found]
            yield risk(f"HAProxy {version} and newer refuse `{found}`", line.at, instead)
