"""The options of a site, and the site that they describe: checked, with the defaults, and with the source of each value."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from why502.generate import options
from why502.generate.options import Given, Option, refuse
from why502.generate.site import Group, Health, Limits, Method, Peer, Rate, Site, Speech, Times, Tls, TlsMode, Trust
from why502.model.errors import Why502Error
from why502.model.patterns import lazy

ISSUERS = "/etc/ssl/certs/ca-certificates.crt"  # Debian's and Alpine's bundle
ACME_ROOT = "/var/www/html"  # what certbot's and acme.sh's guides use
_RATE = lazy(r"([0-9]{1,6})r/([sm])")
_NODE_IDLE_S = 5  # server.keepAliveTimeout of Node.js, the shortest of the common application servers
_MANY = 4  # from so many servers on, two random ones are compared instead of all

OPTIONS = (
    Option(
        name="--app",
        metavar="ADDRESS",
        is_many=True,
        help="Where the application listens: 127.0.0.1:3000, app.internal:3000 or unix:/run/app.sock. Add =WEIGHT to weight it.",
    ),
    Option(name="--backup", metavar="ADDRESS", is_many=True, help="A server that is used only while all others fail."),
    Option(
        name="--weight",
        metavar="N",
        is_many=True,
        help="The share of each --app, in the same order: --weight 2 --weight 1. The same as ADDRESS=2.",
    ),
    Option(
        name="--domain",
        metavar="NAME",
        is_many=True,
        help="A host name of the site. Without it, the site answers for every name.",
    ),
    Option(name="--default-server", help="Also answer requests for unknown host names."),
    Option(
        name="--tls",
        metavar="auto|off|CERT,KEY",
        help="auto: certificates of an ACME client, used as soon as they exist. Default: auto with a domain, otherwise off.",
    ),
    Option(
        name="--protocol",
        metavar="NAME",
        choices=tuple(Speech),
        help="What the application speaks: http, https, fastcgi, uwsgi or grpc. Default: what it answers here, or http.",
    ),
    Option(name="--root", metavar="DIR", help="The directory of the scripts, for fastcgi."),
    Option(name="--app-name", metavar="NAME", help="The name in the application's certificate, for https."),
    Option(name="--app-ca", metavar="FILE", help=f"The issuers to trust for the application's certificate. Default: {ISSUERS}."),
    Option(
        name="--method",
        metavar="NAME",
        choices=tuple(Method),
        help="How requests are distributed: round-robin, least-conn, ip-hash or random. Default: by the number of servers.",
    ),
    Option(name="--max-fails", metavar="N", help="Failures after which a server is taken out for a while. Default: 3."),
    Option(name="--fail-timeout", metavar="TIME", help="How long a failed server stays out. Default: 10s."),
    Option(
        name="--health",
        metavar="PATH",
        help="Path of the health check, for products with active checks.",
    ),
    Option(
        name="--app-idle",
        metavar="TIME|off",
        help="Idle time after which the application closes a connection; off: no keepalive. Default: 5s, as in Node.js.",
    ),
    Option(name="--connect-timeout", metavar="TIME", help="Default: 3s."),
    Option(
        name="--read-timeout", metavar="TIME", help="How long to wait for an answer. Default: 30s, or what the application needs."
    ),
    Option(name="--app-timeout", metavar="TIME", help="The application's own limit for a request: the proxy waits 5 s longer."),
    Option(name="--websocket", metavar="PATH", is_many=True, help="A path for WebSockets."),
    Option(name="--stream", metavar="PATH", is_many=True, help="A path for server-sent events: unbuffered, with long timeouts."),
    Option(name="--max-body", metavar="SIZE", help="The largest upload. Default: the product's own, 1m for nginx."),
    Option(name="--response-header", metavar="SIZE", help="The application's largest response header, if it is above 4k."),
    Option(name="--limit", metavar="RATE", help="Requests allowed per client, such as 20r/s or 90r/m; the rest get 429."),
    Option(name="--limit-dry-run", help="Only log what --limit would reject. Try it first."),
    Option(
        name="--cache-stale",
        metavar="TIME",
        help="How long to serve the last good answer while the application fails. Requests with a cookie are never cached.",
    ),
    Option(name="--no-error-pages", help="Keep the product's own pages for 502, 503 and 504."),
    Option(
        name="--resolver",
        metavar="ADDRESS",
        is_many=True,
        help="The name server for an application given by name. Default: the one in /etc/resolv.conf.",
    ),
    Option(name="--name", metavar="NAME", help="The name of the group, its zones and its logs. Default: from the domain."),
    Option(name="--port", metavar="PORT", help="Default: 80."),
    Option(name="--tls-port", metavar="PORT", help="Default: 443."),
    Option(name="--acme-root", metavar="DIR", help=f"The directory of ACME challenges. Default: {ACME_ROOT}."),
    Option(name="--no-ipv6", help="Listen on IPv4 only."),
)


# What a site of every product can be made of.
OF_EVERY_PROXY = (
    "--app",
    "--backup",
    "--weight",
    "--domain",
    "--tls",
    "--protocol",
    "--app-name",
    "--app-ca",
    "--method",
    "--fail-timeout",
    "--app-idle",
    "--connect-timeout",
    "--read-timeout",
    "--app-timeout",
    "--max-body",
    "--name",
)


def only(*names: str) -> tuple[Option, ...]:
    """Return the options of a site that a product can turn into something."""
    return tuple(option for option in OPTIONS if option.name in names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What the machine says: whether a file exists, its name servers, and whether it has IPv6."""

    exists: Callable[[str], bool] = lambda _: False
    resolvers: tuple[str, ...] = ()
    has_ipv6: bool = True


def site(given: Given, around: Around) -> Site:
    """Return the site that the options describe. Raises Why502Error with the name of the option that is wrong."""
    speech = Speech(options.choice("--protocol", given.get("--protocol", Speech.HTTP), tuple(Speech)))
    domains = tuple(dict.fromkeys(options.domain("--domain", value) for value in given.all("--domain")))
    group, idle_reason = _group(given, speech)
    reasons = {"idle": idle_reason} if idle_reason else {}
    times, read_reason = _times(given)
    reasons |= {"read": read_reason} if read_reason else {}
    for field, option in (("app", "--app"), ("header", "--response-header"), ("speech", "--protocol"), ("body", "--max-body")):
        reasons |= {field: given.source(option)} if given.source(option) else {}
    made = Site(
        name=_name(given, domains, group),
        group=group,
        domains=domains,
        is_default=given.has("--default-server"),
        port=options.number("--port", given.get("--port", "80"), 1, 65535),
        tls_port=options.number("--tls-port", given.get("--tls-port", "443"), 1, 65535),
        has_ipv6=around.has_ipv6 and not given.has("--no-ipv6"),
        tls=_tls(given, domains, around),
        trust=_trust(given, speech, group),
        speech=speech,
        root=options.path("--root", given.get("--root")).rstrip("/") if given.has("--root") else "",
        acme_root=options.path("--acme-root", given.get("--acme-root", ACME_ROOT)),
        websockets=_paths("--websocket", given),
        streams=_paths("--stream", given),
        times=times,
        limits=_limits(given),
        stale_s=options.seconds("--cache-stale", given.get("--cache-stale"), 1, 30 * 86400) if given.has("--cache-stale") else 0,
        resolvers=tuple(options.resolver("--resolver", value) for value in given.all("--resolver")) or around.resolvers,
        has_error_pages=not given.has("--no-error-pages"),
        reasons=reasons,
    )
    _agrees(made, given)
    return made


def _agrees(made: Site, given: Given) -> None:
    """Raise Why502Error for options that exclude each other."""
    if made.speech is Speech.FASTCGI and not made.root:
        raise Why502Error("--protocol fastcgi needs --root", "Name the directory of the scripts: --root /var/www/shop/public")
    if made.speech is not Speech.FASTCGI and made.root:
        raise Why502Error("--root applies only to --protocol fastcgi", "Drop it.")
    if made.speech not in (Speech.HTTP, Speech.HTTPS) and (made.websockets or made.streams):
        raise Why502Error(
            f"--websocket and --stream need HTTP, and the application speaks {made.speech}",
            "Drop them, or add an HTTP application.",
        )
    if made.speech is Speech.GRPC and made.tls.mode is TlsMode.AUTO:
        raise Why502Error(
            "--protocol grpc needs a certificate from the start, or none", "Give --tls CERT,KEY, or --tls off for plain HTTP/2."
        )
    if made.speech is Speech.GRPC and made.stale_s:
        raise Why502Error("--cache-stale does not apply to gRPC", "Drop it.")
    both = sorted(set(made.websockets) & set(made.streams))
    if both:
        raise Why502Error(f"--websocket and --stream both name {both[0]}", "Give each path once.")
    if "/" in (*made.websockets, *made.streams):
        raise Why502Error("--websocket and --stream need a path below /", "Give the path that the application uses, like /ws/.")
    if given.has("--limit-dry-run") and not given.has("--limit"):
        raise Why502Error("--limit-dry-run needs --limit", "Add the rate: --limit 20r/s")
    if made.names and not made.resolvers:
        raise Why502Error(f"--app {made.names[0].target} is a name, and no name server is known", "Give one: --resolver 10.0.0.2")
    if made.port == made.tls_port and made.tls.mode is not TlsMode.OFF:
        raise Why502Error("--port and --tls-port are the same", "Give two different ports.")


def _paths(option: str, given: Given) -> tuple[str, ...]:
    return tuple(dict.fromkeys(options.path(option, value) for value in given.all(option)))


def _name(given: Given, domains: tuple[str, ...], group: Group) -> str:
    if given.has("--name"):
        return options.name("--name", given.get("--name")).replace("-", "_")
    target = group.peers[0].target
    source = domains[0].removeprefix("*.") if domains else f"app_{target.port or target.path.rpartition('/')[2]}"
    plain = re.sub(r"[^a-z0-9]+", "_", source.lower()).strip("_")[:40]
    return plain if plain[:1].isalpha() else f"site_{plain}"


def _peer(option: str, value: str) -> Peer:
    text, found, weight = value.rpartition("=")
    if not found:
        return Peer(target=options.address(option, value), is_backup=option == "--backup")
    return Peer(
        target=options.address(option, text),
        weight=options.number(f"{option} … =WEIGHT", weight, 1, 1000),
        is_backup=option == "--backup",
    )


def _addresses(given: Given) -> Iterator[tuple[str, str]]:
    """Yield each server with its option, and its weight behind it. Raises Why502Error."""
    weights, apps = given.all("--weight"), given.all("--app")
    if weights and len(weights) != len(apps):
        raise Why502Error(f"--weight is given {len(weights)} times for {len(apps)} servers", "Give it once for each --app.")
    for number, value in enumerate(apps):
        if weights and "=" in value:
            raise Why502Error(f"--weight and --app {value} both give a weight", "Drop one of them.")
        weight = options.number("--weight", weights[number], 1, 1000) if weights else 0
        yield "--app", f"{value}={weight}" if weight else value
    yield from (("--backup", value) for value in given.all("--backup"))


def _group(given: Given, speech: Speech) -> tuple[Group, str]:
    peers = tuple(_peer(option, value) for option, value in _addresses(given))
    if not given.all("--app"):
        raise Why502Error("--app is missing", "Name the address of the application: --app 127.0.0.1:3000")
    seen = [str(peer.target) for peer in peers]
    if twice := next((one for one in seen if seen.count(one) > 1), ""):
        raise Why502Error(f"{twice} is given twice", "Give each server once; --app ADDRESS=2 gives it twice the share.")
    mains = [peer for peer in peers if not peer.is_backup]
    has_backup = len(mains) < len(peers)
    if len(mains) == 1 and mains[0].weight > 1:
        raise Why502Error("a weight has no effect on the only server", "Drop it, or add a second --app.")
    if given.has("--method"):
        method = Method(options.choice("--method", given.get("--method"), tuple(Method)))
        if has_backup and method in (Method.IP_HASH, Method.RANDOM):
            raise Why502Error(f"--method {method} has no backups", "Drop --backup, or use least-conn.")
    elif len(mains) >= _MANY:
        method = Method.LEAST_CONN if has_backup else Method.RANDOM
    else:
        method = Method.ROUND_ROBIN
    health = Health(
        max_fails=options.number("--max-fails", given.get("--max-fails", "3"), 1, 1000),
        fail_timeout_s=options.seconds("--fail-timeout", given.get("--fail-timeout", "10s"), 1, 300),
        path=options.path("--health", given.get("--health")) if given.has("--health") else "",
    )
    if len(peers) == 1 and (given.has("--max-fails") or given.has("--fail-timeout")):
        raise Why502Error("--max-fails and --fail-timeout have no effect on the only server", "Drop them, or add a second --app.")
    idle_s, reason = _idle(given, speech)
    return Group(peers=peers, method=method, health=health, idle_s=idle_s), reason


def _idle(given: Given, speech: Speech) -> tuple[int, str]:
    """Return how long the proxy keeps an idle connection: a second less than the application, which otherwise closes it while
    the proxy sends the next request.
    """
    asked = given.get("--app-idle")
    if speech in (Speech.FASTCGI, Speech.UWSGI):
        if asked not in ("", "off"):
            raise Why502Error(f"--app-idle does not apply to {speech}", "Drop it: each connection would occupy a worker.")
        return 0, ""
    if asked == "off":
        return 0, ""
    idle = options.seconds("--app-idle", asked, 2, 7200) if asked else _NODE_IDLE_S
    if source := given.source("--app-idle"):
        return idle - 1, f"{source}; the proxy must close first"
    if asked:
        return idle - 1, f"the application closes idle connections after {idle} s; the proxy must close first"
    return idle - 1, f"not measured: {idle} s, as in Node.js, is the shortest common idle time; the proxy must close first"


def _times(given: Given) -> tuple[Times, str]:
    connect = options.seconds("--connect-timeout", given.get("--connect-timeout", "3s"), 1, 60)
    own = options.seconds("--app-timeout", given.get("--app-timeout"), 1, options.LONGEST_S) if given.has("--app-timeout") else 0
    if given.has("--read-timeout"):
        read = options.seconds("--read-timeout", given.get("--read-timeout"), 1, options.LONGEST_S)
        if own and read <= own:
            raise Why502Error(
                f"--read-timeout {read}s is not longer than --app-timeout {own}s",
                "The proxy must wait longer than the application, or the client gets 504 for an answer that arrives.",
            )
        return Times(connect_s=connect, read_s=read), given.source("--read-timeout") or "as given"
    if own + 5 > 30:
        source = given.source("--app-timeout") or f"the application's own limit is {own} s"
        return Times(connect_s=connect, read_s=own + 5), f"{source}; it must end first"
    return Times(connect_s=connect), ""


def _limits(given: Given) -> Limits:
    rate = None
    if given.has("--limit"):
        match = _RATE.fullmatch(given.get("--limit"))
        if not match or not int(match[1]):
            raise refuse("--limit", given.get("--limit"), "is not a rate", "Write it like 20r/s or 90r/m.")
        rate = Rate(count=int(match[1]), unit=match[2], is_dry_run=given.has("--limit-dry-run"))
    return Limits(
        max_body_bytes=options.size("--max-body", given.get("--max-body"), 1, 1 << 40) if given.has("--max-body") else 0,
        header_bytes=options.size("--response-header", given.get("--response-header"), 1, 1 << 20)
        if given.has("--response-header")
        else 0,
        rate=rate,
    )


def _tls(given: Given, domains: tuple[str, ...], around: Around) -> Tls:
    wanted = given.get("--tls") or (TlsMode.AUTO if domains and given.get("--protocol") != Speech.GRPC else TlsMode.OFF)
    if wanted == TlsMode.OFF:
        return Tls()
    if wanted == TlsMode.AUTO:
        if not domains:
            raise Why502Error("--tls auto needs --domain", "A certificate is for a name: --domain shop.example")
        home = f"/etc/letsencrypt/live/{domains[0].removeprefix('*.')}"
        certificate, key = f"{home}/fullchain.pem", f"{home}/privkey.pem"
        is_ready = around.exists(certificate) and around.exists(key)
        return Tls(mode=TlsMode.AUTO, certificate=certificate, key=key, is_ready=is_ready)
    certificate, found, key = wanted.partition(",")
    if not found:
        raise refuse(
            "--tls", wanted, "is not auto, off, or two files", "Write it like --tls /etc/ssl/shop.pem,/etc/ssl/shop.key."
        )
    return Tls(mode=TlsMode.FILES, certificate=options.path("--tls", certificate), key=options.path("--tls", key), is_ready=True)


def _trust(given: Given, speech: Speech, group: Group) -> Trust:
    if speech is not Speech.HTTPS:
        if given.has("--app-name") or given.has("--app-ca"):
            raise Why502Error("--app-name and --app-ca apply only to --protocol https", "Drop them.")
        return Trust()
    hosts = {peer.target.host for peer in group.peers if peer.is_named}
    if given.has("--app-name"):
        name = options.domain("--app-name", given.get("--app-name"))
    elif len(hosts) == 1 and all(peer.is_named for peer in group.peers):
        name = hosts.pop()
    else:
        raise Why502Error(
            "--protocol https needs --app-name", "Give the name in the application's certificate: it is sent and verified."
        )
    return Trust(name=name, issuers=options.path("--app-ca", given.get("--app-ca", ISSUERS)))
