"""`why502 generate nginx`: a site for this version of nginx."""

from __future__ import annotations

import posixpath

from why502.gateways.nginx.build import Build, build_option
from why502.gateways.nginx.config.defaults import NEWEST
from why502.generate import options, wishes
from why502.generate.kind import Kind, Made, around, entrance
from why502.generate.nginx import installed
from why502.generate.nginx.conflicts import conflicts
from why502.generate.nginx.emit import Places, documents, files_of
from why502.generate.nginx.lines import dialect
from why502.generate.nginx.present import present
from why502.generate.options import Given, Option
from why502.generate.site import Site, Speech, TlsMode
from why502.host.base import Host
from why502.session import linting

_USUAL_CONNECTIONS = 4096
_LEAST_CONNECTIONS = 512
_HASH_BYTES = 46  # the longest server name that fits into the usual bucket of 64 bytes (src/core/ngx_hash.c)
OWN = (
    Option(name="--nginx-version", metavar="VERSION", help="The version to write for, or `newest`. Default: the installed one."),
    Option(name="--no-comments", help="Leave out the comments, which give the reasons."),
    Option(name="--whole", help="Write a whole nginx.conf (for a container, for example) instead of one site."),
    Option(
        name="--connections",
        metavar="N",
        help="With --whole: connections per worker. Default: 4096, or as many as the file limit of nginx's unit permits.",
    ),
    Option(name="--cache-dir", metavar="DIR", help="The parent directory of the cache."),
    Option(name="--log-dir", metavar="DIR", help="The directory of the logs."),
)


def emit(given: Given, host: Host) -> Made:
    """Return the site's files. Raises Why502Error."""
    found_version = linting.version(host, given.get("--nginx-version") or None)
    version = found_version or NEWEST
    language = dialect(version, has_comments=not given.has("--no-comments"))
    made = wishes.site(given, around(host))
    build = installed.build(host)
    places = _places(given, build)
    found = documents(made, language, places, whole=_whole(given, host, build) if given.has("--whole") else None)
    return Made(
        documents=found,
        product=f"nginx {version}",
        notes=tuple(_notes(made, given, is_installed=bool(found_version))),
        pinned=_pinned(made, version, given),
        entrance=None if made.speech is Speech.GRPC else entrance(made),
    )


def _places(given: Given, build: Build) -> Places:
    logs = posixpath.dirname(build_option(build.options, "http-log-path")) or "/var/log/nginx"
    temporary = posixpath.dirname(build_option(build.options, "http-proxy-temp-path")) or "/var/cache/nginx"
    return Places(
        logs=options.path("--log-dir", given.get("--log-dir", logs)),
        caches=options.path("--cache-dir", given.get("--cache-dir", temporary)),
    )


def _whole(given: Given, host: Host, build: Build) -> dict[str, str]:
    """Return the settings of a whole nginx.conf: the worker's user, the pid file, the number of connections."""
    connections, source = _USUAL_CONNECTIONS, ""
    if given.has("--connections"):
        connections = options.number("--connections", given.get("--connections"), _LEAST_CONNECTIONS, 1_000_000)
    elif (limit := installed.files_limit(host)) and files_of(connections) > limit:
        connections = max(_LEAST_CONNECTIONS, (limit - files_of(0)) // 2)
        source = f"LimitNOFILE={limit} of nginx.service permits no more"
    return {
        "user": installed.user(host),
        "pid": build_option(build.options, "pid-path") or "/run/nginx.pid",
        "home": posixpath.dirname(build_option(build.options, "conf-path")) or "/etc/nginx",
        "connections": str(connections),
        "source": source,
    }


def _notes(made: Site, given: Given, *, is_installed: bool) -> list[str]:
    notes = []
    if not made.domains:
        notes.append("without --domain the site answers for every name that no other site serves")
    if made.tls.mode is TlsMode.AUTO and not made.tls.is_ready:
        notes.append(
            f"the certificate {made.tls.certificate} does not exist yet: the site answers on port {made.port}, and HTTPS is"
            " not enabled. Get the certificate, then run the same command again"
        )
    if not given.has("--app-idle") and made.group.idle_s:
        notes.append("the application's idle time was not measured: give --app-idle, or use --from-process")
    if made.limits.rate and not made.limits.rate.is_dry_run:
        notes.append("the limit is enforced: --limit-dry-run only logs what it would reject")
    if made.group.peers and len(made.group.peers) == 1 and made.group.health.path:
        notes.append("nginx has no active health checks: --health is ignored")
    if long := [name for name in made.domains if len(name.removeprefix("*.")) > _HASH_BYTES and not given.has("--whole")]:
        notes.append(f"{long[0]} needs `server_names_hash_bucket_size 128;` in the http block of nginx.conf")
    if made.stale_s:
        notes.append("answers without a cookie and without Cache-Control are shared between clients for one second")
        notes.append(
            "nginx truncates answers that it cannot store: give the cache a file system that nothing else fills (--cache-dir)"
        )
    if not given.has("--nginx-version") and not is_installed:
        notes.append(f"no nginx was found here: this is for {NEWEST}, the newest known version; --nginx-version sets another")
    return notes


def _pinned(made: Site, version: str, given: Given) -> tuple[tuple[str, str], ...]:
    """Return what this machine decided, as options that state it."""
    found = [] if given.has("--nginx-version") and given.get("--nginx-version") != "newest" else [("--nginx-version", version)]
    if not made.has_ipv6 and not given.has("--no-ipv6"):
        found.append(("--no-ipv6", ""))
    if made.names and not given.has("--resolver"):
        found += [("--resolver", one) for one in made.resolvers]
    return tuple(found)


KIND = Kind(
    name="nginx",
    help="Write an nginx site for the installed version.",
    example="why502 generate nginx --app 127.0.0.1:3000 --domain shop.example",
    options=(*wishes.OPTIONS, *OWN),
    emit=emit,
    is_site=True,
    home="/etc/nginx",
    is_applicable=True,
    order=5,
    conflicts=conflicts,
    present=present,
)
