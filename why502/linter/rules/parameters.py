"""Words of `server`, `listen` and `resolver` that nginx does not know."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from why502.deployment.files import Deployment, Level
from why502.deployment.rule import risk, rule
from why502.gateways.nginx.config import units
from why502.gateways.nginx.config.files import Directive
from why502.model.finding import Risk, Severity
from why502.model.patterns import lazy

# Those of nginx, nginx Plus, Angie and Tengine.
_SERVER = lazy(
    r"(?:weight|max_conns|max_fails|fail_timeout|service|route|slow_start|id|srun_id|sid)=.*|backup|down|resolve|drain"
)
_LISTEN = lazy(
    r"default_server|default|ssl|http2|http3|spdy|quic|proxy_protocol|deferred|bind|reuseport|udp|multipath|transparent"
    r"|(?:setfib|fastopen|backlog|rcvbuf|sndbuf|accept_filter|ipv6only|so_keepalive)=.*"
)
_RESOLVER = lazy(r"(?:ipv[46]=(?:on|off)|(?:valid|status_zone|local|timeout)=.*|local=.*)")
_PORT = lazy(r"(?:.*:)?(\d+)")


@rule(164, "parameter-unknown", Severity.ERROR, "proxy-config-invalid", depends_on_build=True)
def unknown(deployment: Deployment) -> Iterator[Risk]:
    """nginx does not know a parameter after an address, or the port is invalid.

    nginx refuses the configuration: `invalid parameter`. `max_fail=3` for `max_fails=3` is a common case.
    """
    for level, directive in deployment.uses("server", "listen", "resolver"):
        if directive.children is None and directive.args and not any("$" in arg for arg in directive.args):
            for word in islice(_strange(level, directive), 1):  # nginx names the first; the others follow a lost semicolon
                yield risk(f'"{directive.name}" does not accept "{word}"', directive.at, "correct or remove it")


def _strange(level: Level, directive: Directive) -> Iterator[str]:
    args = directive.args
    if directive.name == "server" and level.name == "upstream":
        yield from (word for word in args[1:] if not _SERVER.fullmatch(word))
    elif directive.name == "listen" and level.name == "server" and level.path[:1] != ("mail",):
        yield from (word for word in args[1:] if not _LISTEN.fullmatch(word))
        port = _PORT.fullmatch(args[0])
        if port and not args[0].startswith("unix:") and not args[0].endswith("]") and not 0 < int(port[1][:9]) < 65536:
            yield args[0]
    elif directive.name == "resolver":
        options = [word for word in args if "=" in word]
        yield from (word for word in options if not _RESOLVER.fullmatch(word))
        yield from (word for word in options if word.startswith("valid=") and units.time(word[6:]) is None)
