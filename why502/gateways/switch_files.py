"""Switch files that make a gateway answer on its own: `RewriteCond /srv/maintenance -f` (mod_rewrite),
`if (-f /srv/maintenance)` (nginx).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from why502.host.base import Host
from why502.model.config import Answer
from why502.model.errors import HostError, Missing
from why502.model.patterns import lazy

MOST = 64  # maximum number of files checked
# ngx_http_rewrite_module, ngx_http_rewrite_if_condition
_NGINX_TEST = lazy(r"^\(?\s*(?P<no>!?)-[fdex]\s+[\"']?(?P<path>/[^\s\"'$]+?)[\"']?\s*\)?$")
_TEST = lazy(r"^[\"']?(?P<path>[^\s\"']+)[\"']?\s+(?P<no>!?)-[fFs]\b")


def in_force(host: Host, answers: Iterable[Answer]) -> tuple[Answer, ...]:
    """Return the answers whose switch is on; one is off or unknown if its file is missing, or its path contains variables."""
    is_there = _looks(host)
    return tuple(answer for answer in answers if all(_is_on(condition, is_there) for condition in answer.if_conditions))


def in_force_of_nginx(host: Host, answers: Iterable[Answer]) -> tuple[Answer, ...]:
    """Return nginx's answers except those whose switch is known to be off; other conditions are unknown and may hold."""
    is_there = _looks(host)

    def is_off(condition: str) -> bool:
        match = _NGINX_TEST.match(condition)
        return match is not None and is_there(match["path"]) is bool(match["no"])

    return tuple(answer for answer in answers if not any(map(is_off, answer.if_conditions)))


def _is_on(condition: str, is_there: Callable[[str], bool | None]) -> bool:
    match = _TEST.match(condition)
    if match is None:
        return True
    path = match["path"]
    found = is_there(path) if path.startswith("/") and "%" not in path else None
    return found is not None and found is not bool(match["no"])


def _looks(host: Host) -> Callable[[str], bool | None]:
    """Return the function that checks whether a file exists: each file once, up to a maximum; None if unknown."""
    looked: dict[str, bool | None] = {}

    def is_there(path: str) -> bool | None:
        if path not in looked and len(looked) < MOST:
            looked[path] = _exists(host, path)
        return looked.get(path)

    return is_there


def _exists(host: Host, path: str) -> bool | None:
    try:
        host.stat(path)
    except Missing:
        return False
    except HostError:
        return None
    return True
