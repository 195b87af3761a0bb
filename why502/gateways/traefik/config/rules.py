"""What a router's rule says about the requests that it takes, as far as it names hosts and paths.

Source: doc.traefik.io/traefik/routing/routers (Rule): `Host(`a`, `b`) && PathPrefix(`/api`)`, also with double quotes.
"""

from __future__ import annotations

from why502.model.patterns import lazy

_CALL = lazy(r"(!?)\b(Host|HostHeader|Path|PathPrefix|HostSNI)\s{0,8}\(\s{0,8}((?:[`\"'][^`\"']{0,300}[`\"'][\s,]{0,8}){1,64})\)")
_WORD = lazy(r"[`\"']([^`\"']{0,300})[`\"']")
_MOST = 8 << 10


def hosts_and_paths(rule: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the host names of a rule, and its paths as locations: "= /x" for an exact one, "/x" for a prefix."""
    hosts: list[str] = []
    paths: list[str] = []
    for match in _CALL.finditer(rule[:_MOST]):
        words = _WORD.findall(match[3])
        if match[1]:
            continue  # what it does not take
        if match[2] in ("Host", "HostHeader", "HostSNI"):
            hosts += [word.lower() for word in words]
        else:
            paths += [f"= {word}" if match[2] == "Path" else word for word in words]
    return tuple(dict.fromkeys(host for host in hosts if host != "*")), tuple(dict.fromkeys(paths))
