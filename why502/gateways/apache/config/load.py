"""From httpd's directives to routes, balancers and answers.

Sources: the documentation of mod_proxy (ProxyPass, ProxyPassMatch, BalancerMember, ProxySet, worker sharing, ProxyTimeout),
mod_rewrite (flags P and R), mod_alias (Redirect) and core (Timeout, ErrorDocument, SetHandler); modules/proxy/proxy_util.c,
ap_proxy_get_worker_ex.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from why502.config.configuration import Configuration
from why502.gateways.apache.config import access_files
from why502.gateways.apache.config.directives import Directive, Reader, Scope
from why502.gateways.apache.config.listens import TLS, opened, reached
from why502.gateways.apache.config.match import DIRECTORY, EXCLUDED, SERVED
from why502.gateways.apache.config.parse import parse
from why502.gateways.apache.config.workers import (
    Worker,
    Workers,
    balancer_name,
    common,
    options_of,
    peer_of,
    seconds,
    shared,
    worker_of,
)
from why502.model.config import Answer, LogKind, LogPlace, LogTarget, Peer, Position, Route, Setting, Upstream
from why502.model.patterns import lazy
from why502.model.proxy import ConfigFile
from why502.model.target import Target
from why502.model.times import whole_number

HEADER_BYTES = 1 << 20  # the lines of a response header have no limit together, only each (mod_proxy, ResponseFieldSize)
SHARED = "worker sharing"  # route setting: the URL of the worker that the route shares, and the parameters that it ignores
_PROTOCOLS = {"fcgi": "fastcgi", "ws": "http", "wss": "https", "h2": "https", "h2c": "http"}
_ANSWERS = lazy(r"[\[,]R(?:edirect)?=([45]\d\d)[,\]]", re.IGNORECASE)
_PROXIES = lazy(r"[\[,](?:P|proxy)[,\]]", re.IGNORECASE)
_WEBSOCKETS = lazy(r"wss?://", re.IGNORECASE)
_TIMEOUT_S = 60.0
_LOGS = frozenset({"errorlog", "customlog", "transferlog"})
_STREAMS = frozenset({"/dev/stdout", "/dev/stderr", "/proc/self/fd/1", "/proc/self/fd/2", "/dev/fd/1", "/dev/fd/2"})
_FACILITY = "local7"  # of messages to syslog, unless another one is named (ErrorLog)
_KEPT = frozenset({"errordocument", "proxyerroroverride"})
_OF_TLS = frozenset(
    "sslproxyverify sslproxycacertificatefile sslproxycheckpeername sslproxymachinecertificatefile proxypreservehost".split()
)
PREFACE, VIRTUAL_HOST = "RemoteIPProxyProtocol", "VirtualHost"  # the settings of a route that tell what its server accepts
WAIT, REVERSE = "ProxyTimeout", "ProxyPassReverse"  # what sets the read timeout in force; the addresses in redirects
UPGRADE = "upgrade"  # the setting of a route whose server passes WebSockets on: the parameter (2.4.47), or the scheme ws
MODULE = "LoadModule mpm"  # the setting of a route that names how httpd runs its workers: prefork, worker, event
_LIMITS = {
    "maxrequestworkers": "MaxRequestWorkers",
    "maxclients": "MaxRequestWorkers",
    "serverlimit": "ServerLimit",
    "threadsperchild": "ThreadsPerChild",
}


@dataclass(slots=True)
class _Balancer:
    """A balancer of a server: its members with their parameters, in order."""

    at: Position
    members: list[tuple[Peer, str, dict[str, str]]] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Host:
    """A server: the main one, or a virtual host."""

    address: str = ""
    names: tuple[str, ...] = ()
    timeout: Setting | None = None
    proxy_timeout: Setting | None = None
    reverses: list[Setting] = field(default_factory=list)
    workers: Workers = field(default_factory=dict)
    balancers: dict[str, _Balancer] = field(default_factory=dict)
    excluded: list[Setting] = field(default_factory=list)
    kept: dict[str, list[Setting]] = field(default_factory=dict)
    tls: dict[str, Setting] = field(default_factory=dict)
    preface: Setting | None = None
    is_tls: bool | None = None  # None: SSLEngine is not set

    @property
    def name(self) -> str:
        """Its first name, else its addresses."""
        return self.names[0] if self.names else self.address


@dataclass(slots=True)
class _Pass:
    """A directive that leads to a backend."""

    directive: Directive
    path: str
    url: str
    worker: Worker | None
    ignored: tuple[str, ...]
    excluded: tuple[Setting, ...]
    conditions: tuple[str, ...]


def load(text: str, file: str) -> Configuration:
    """Return the configuration in a complete or partial text; variables of the environment are unknown."""
    return together([(file, text)], None)


def together(
    texts: Iterable[tuple[str, str]], environment: Mapping[str, str] | None, defined: Iterable[str] = ()
) -> Configuration:
    """Return the configuration that all files make, the main one first. See `directives.Reader`."""
    trees = tuple(parse(text.encode("utf-8", "surrogateescape"), path) for path, text in texts)
    own, live = access_files.split(trees)
    overrides = access_files.Overrides()
    meaning = _Meaning(overrides)
    reader = Reader(own, environment, defined)
    for directive in reader.directives():
        meaning.take(directive)
        overrides.take(directive)
    for directive in overrides.read(live, reader):
        meaning.take(directive)
    return Configuration(
        files=tuple(ConfigFile(path=tree.file, is_live=tree in live) for tree in trees),
        trees=trees,
        routes=meaning.routes(),
        upstreams=meaning.upstreams(),
        answers=tuple(meaning.answers),
        logs=meaning.log_targets(),
        listens=tuple(meaning.listens),
        worker_connections=meaning.most_requests(),
    )


class _Meaning:
    """What the directives read so far mean."""

    def __init__(self, overrides: access_files.Overrides) -> None:
        self.overrides = overrides
        self.hosts: dict[int, _Host] = {0: _Host()}
        self.passes: list[_Pass] = []
        self.rewrites: list[Answer] = []
        self.limits: dict[str, tuple[Setting, ...]] = {}  # on the workers of the whole server
        self.root = ""
        self.listens: dict[Target, bool] = {}  # whether it is for TLS
        self.formats: dict[str, str] = {}
        self.of_files: dict[str, list[Setting]] = {}  # ErrorDocument, by the file in a served directory
        self._logs: list[Directive] = []
        self._answers: list[tuple[Directive, Answer]] = []
        self._conditions: list[str] = []  # those of the next RewriteRule

    def take(self, each: Directive) -> None:
        """Process one directive."""
        scope, host = each.scope, self._host(each.scope)
        match each.name, each.args:
            case "servername", (name, *_):
                host.names = (name, *host.names)
            case "serveralias", names:
                host.names = (*host.names, *names)
            case "timeout", (given, *_) if whole_number(given, 8) is not None:
                host.timeout = Setting(args=(given,), at=each.at)
            case "proxytimeout", (given, *_) if whole_number(given, 8) is not None:
                host.proxy_timeout = Setting(args=(given,), at=each.at)
            case "proxypassreverse", (*_, url) if "://" in url:
                host.reverses.append(Setting(args=(url,), at=each.at))
            case "proxypass" | "proxypassmatch", args if args:
                path, *rest = (scope.path, *args) if scope.path and not args[0].startswith("/") and args[0] != "!" else args
                if scope.path and args[0] == "!":
                    path, rest = scope.path, ["!"]
                if rest:
                    self._pass(each, path, rest[0], options_of(rest[1:]))
            case "balancermember", args if args:
                self._member(each, host, args)
            case "proxyset", args if args:
                self._set(each, host, args)
            case "rewritecond", args:
                self._conditions.append(" ".join(args))
            case "rewriterule", args:
                self._rewrite(each, args)
            case "sethandler", (handler, *_) if handler.startswith("proxy:"):
                self._pass(each, scope.path, handler.removeprefix("proxy:"), {})
            case "redirect" | "redirectmatch", (status, path, *_) if re.fullmatch(r"5\d\d", status):
                self._answer(each, int(status), path)
            case "redirect", (status,) if re.fullmatch(r"5\d\d", status):
                self._answer(each, int(status), scope.path)
            case "<proxy", (url, *rest) if "://" in url:
                self._set(each, host, (url, *rest))
            case "logformat", (text, nickname, *_):
                self.formats[nickname] = text
            case "serverroot", (root, *_):
                self.root = root
            case "requestheader", ("set", header, value, *_) if header.lower() == "host":
                host.tls["host"] = Setting(args=(value,), at=each.at)
            case name, args if name in _OF_TLS and args:
                host.tls[name] = Setting(args=args, at=each.at)
            case name, args if name in _LOGS and args:
                self._logs.append(each)
            case "remoteipproxyprotocol" | "proxyprotocol", args if args:  # the second is of a module of its own
                host.preface = Setting(args=args, at=each.at)
            case name, (given, *_) if name in _LIMITS and whole_number(given, 8):
                self.limits[_LIMITS[name]] = (Setting(args=(given,), at=each.at),)
            case "listen", args if (listen := opened(args)) is not None:
                self.listens.setdefault(*listen)
            case "sslengine", (given, *_):
                host.is_tls = given.lower() in ("on", "optional")
            case "loadmodule", (module, *_) if module.startswith("mpm_"):
                self.limits[MODULE] = (Setting(args=(module.removeprefix("mpm_").removesuffix("_module"),), at=each.at),)
            case "require", words if [word.lower() for word in words] == ["all", "denied"]:
                self._answer(each, 403, scope.path)
            case "errordocument", args if scope.section.startswith(access_files.SECTION):
                self.of_files.setdefault(each.at.file, []).append(Setting(args=args, at=each.at))
            case name, args if name in _KEPT:
                host.kept.setdefault(each.written, []).append(Setting(args=args, at=each.at))

    @cached_property
    def has_directories(self) -> bool:
        """Whether a handler is in force in one directory only. All directives must have been read."""
        return any(each.directive.scope.directory for each in self.passes if each.directive.name == "sethandler")

    def most_requests(self) -> int | None:
        """Return how many requests it handles at a time; None if the configuration does not say."""
        found = self.limits.get("MaxRequestWorkers")
        return whole_number(found[0].args[0], 8) if found else None

    def _host(self, scope: Scope) -> _Host:
        found = self.hosts.get(scope.host)
        if found is None:
            found = self.hosts[scope.host] = _Host(address=scope.address)
        return found

    def _rewrite(self, each: Directive, args: tuple[str, ...]) -> None:
        """Process a RewriteRule that answers itself (flag R with an error's status), or that proxies (flag P)."""
        conditions, self._conditions = tuple(self._conditions), []
        flags = args[2] if len(args) > 2 else ""
        if match := _ANSWERS.search(flags):
            self._answer(each, int(match[1]), each.scope.path, conditions)
        elif len(args) > 1 and (_PROXIES.search(flags) or args[1].startswith("proxy:")) and "://" in args[1]:
            self._pass(each, args[0], args[1].removeprefix("proxy:"), {}, conditions)

    def _answer(self, each: Directive, status: int, path: str, conditions: tuple[str, ...] = ()) -> None:
        found = (*each.scope.conditions, *conditions)
        self._answers.append((each, Answer(location=path, status=status, at=each.at, if_conditions=found)))

    @property
    def answers(self) -> list[Answer]:
        """The rules by which it answers itself, with the names of their hosts."""
        return [
            Answer(
                server=self._host(each.scope).name,
                location=answer.location,
                status=answer.status,
                at=answer.at,
                if_conditions=answer.if_conditions,
            )
            for each, answer in self._answers
        ]

    def _pass(self, each: Directive, path: str, url: str, options: dict[str, str], conditions: tuple[str, ...] = ()) -> None:
        host = self._host(each.scope)
        if url == "!":
            host.excluded.append(Setting(args=(path,), at=each.at))
            return
        worker: Worker | None = None
        ignored: tuple[str, ...] = ()
        if each.name == "sethandler":
            pass  # its worker is looked for when a request comes: also one that is defined further down counts
        elif not url.startswith("balancer://") and "$" not in url.partition("://")[2].partition("/")[0]:
            worker, ignored = shared(host.workers, url, options, each.at)
        elif url.startswith("balancer://") and options:
            host.balancers.setdefault(balancer_name(url), _Balancer(each.at)).options.update(options)
        found = (*each.scope.conditions, *conditions)
        self.passes.append(_Pass(each, path, url, worker, ignored, tuple(host.excluded), found))

    def _member(self, each: Directive, host: _Host, args: tuple[str, ...]) -> None:
        inside = each.scope.proxy.startswith("balancer://")
        group, url, *rest = (each.scope.proxy, *args) if inside else (args if len(args) > 1 else (*args, ""))
        options = options_of(rest)
        peer, scheme = peer_of(url, options, each.at)
        if peer is not None and group.startswith("balancer://"):
            host.balancers.setdefault(balancer_name(group), _Balancer(each.at)).members.append((peer, scheme, options))

    def _set(self, each: Directive, host: _Host, args: tuple[str, ...]) -> None:
        """Process ProxySet, whose URL is that of the section around it, or its first argument."""
        url, *rest = args if "://" in args[0].partition("=")[0] else (each.scope.proxy, *args)
        options = options_of(rest)
        if url.startswith("balancer://"):
            host.balancers.setdefault(balancer_name(url), _Balancer(each.at)).options.update(options)
        elif url:
            worker, _ = shared(host.workers, url, {}, each.at)
            worker.set(options, each.at)

    def log_targets(self) -> tuple[LogTarget, ...]:
        """Return the logs, with the text of the format of each, and the first name of the virtual host that writes it."""
        found = []
        for each in self._logs:
            place, chosen = each.args[0], each.args[1] if len(each.args) > 1 else ""
            is_error = each.name == "errorlog"
            goes_to = LogPlace.FILE
            if place.startswith("syslog"):
                goes_to = LogPlace.SYSLOG
            elif place in _STREAMS:
                goes_to = LogPlace.STDERR
            is_file = goes_to is LogPlace.FILE and not place.startswith("|")
            _, facility, tag, *_ = (*place.split(":", 2), "", "") if goes_to is LogPlace.SYSLOG else ("", "", "")
            facility = (facility or _FACILITY) if goes_to is LogPlace.SYSLOG else ""
            found.append(
                LogTarget(
                    kind=LogKind.ERROR if is_error else LogKind.ACCESS,
                    path=posixpath.join(self.root, place) if is_file else place if goes_to is LogPlace.FILE else "",
                    goes_to=goes_to,
                    format_name=chosen if chosen in self.formats else "",
                    format="" if is_error else self.formats.get(chosen, chosen if "%" in chosen else ""),
                    server=self._host(each.scope).name if each.scope.host else "",
                    facility=facility,
                    tag=tag,
                    at=each.at,
                )
            )
        return tuple(found)

    def upstreams(self) -> tuple[Upstream, ...]:
        """Return the balancers, those of the main server first."""
        return tuple(
            Upstream(
                name=name,
                peers=tuple(peer for peer, _, _ in found.members),
                at=found.at,
                method=found.options.get("lbmethod", "byrequests"),
            )
            for host in self.hosts.values()
            for name, found in host.balancers.items()
            if found.members or not self._is_elsewhere(name, host)
        )

    def _is_elsewhere(self, name: str, host: _Host) -> bool:
        """Return whether another server than this one has the members of a balancer."""
        return any(
            name in other.balancers and other.balancers[name].members for other in self.hosts.values() if other is not host
        )

    def routes(self) -> tuple[Route, ...]:
        """Return the routes; those to a balancer with its members."""
        tunnels = {id(self._host(each.directive.scope)) for each in self.passes if _WEBSOCKETS.match(each.url)}
        found = (self._route(each, tunnels) for each in self.passes)
        return tuple(route for route in found if route is not None)

    def _route(self, each: _Pass, tunnels: set[int]) -> Route | None:
        scope = each.directive.scope
        host, main = self._host(scope), self.hosts[0]
        waits = (host.proxy_timeout, main.proxy_timeout, host.timeout, main.timeout)
        general = next((setting for setting in waits if setting is not None), None)
        general_s = float(general.args[0]) if general else _TIMEOUT_S
        settings: dict[str, tuple[Setting, ...]] = {EXCLUDED: each.excluded} if each.excluded else {}
        for name in main.kept.keys() | host.kept.keys():
            settings[name] = (*main.kept.get(name, ()), *(host.kept.get(name, ()) if host is not main else ()))
        if of_file := self.of_files.get(each.directive.at.file):
            settings["ErrorDocument"] = (*settings.get("ErrorDocument", ()), *of_file)
        if each.directive.name == "sethandler" and self.has_directories:
            settings[SERVED] = tuple(Setting(args=pair) for pair in self.overrides.served(scope.host))
            if scope.directory:
                settings[DIRECTORY] = (Setting(args=(scope.directory,), at=each.directive.at),)
        if host.address:
            settings[VIRTUAL_HOST] = (Setting(args=tuple(host.address.split()), at=each.directive.at),)
        if preface := host.preface or main.preface:
            settings[PREFACE] = (preface,)
        upstream, peers, protocol = "", tuple[Peer, ...](), "http"
        worker = (
            each.worker
            or worker_of(host.workers, each.url.rpartition("|")[2])
            or worker_of(main.workers, each.url.rpartition("|")[2])
        )
        options = worker.options if worker else {}
        if each.url.startswith("balancer://"):
            upstream = balancer_name(each.url)
            group = host.balancers.get(upstream)
            if group is None or not group.members:
                group = main.balancers.get(upstream, group)
            members = group.members if group else []
            peers, options = tuple(peer for peer, _, _ in members), common([given for _, _, given in members])
            protocol = members[0][1] if members else "http"
        else:
            peer, protocol = peer_of(each.url, options, each.directive.at)
            if peer is None:
                return None
            peers = (peer,)
        if options.get("upgrade", "none").lower() != "none" or id(host) in tunnels:
            settings[UPGRADE] = (Setting(args=(options.get("upgrade", "ws"),), at=each.directive.at),)
        if each.worker and each.worker.at != each.directive.at:
            settings[SHARED] = (Setting(args=(each.worker.url, *each.ignored), at=each.worker.at),)
        timeout_s = seconds(options.get("timeout"), general_s)
        if "timeout" not in options and general is not None:
            settings[WAIT] = (general,)
        elif worker is not None and worker.timeout_at is not None and options is worker.options:
            settings[WAIT] = (Setting(args=(f"timeout={options['timeout']}",), at=worker.timeout_at),)
        if host.reverses:
            settings[REVERSE] = tuple(host.reverses)
        settings |= self.limits
        tls = {**main.tls, **host.tls}
        has_preface = preface is not None and preface.args[0].lower() == "on"
        is_tls = main.is_tls if host.is_tls is None else host.is_tls
        listens = reached(host.address, self.listens, is_tls=is_tls, has_preface=has_preface)
        name = _name_for_tls(tls, peers, host)
        directive = each.directive.written
        if protocol in ("https", "wss", "h2"):
            settings |= {f"{directive}_ssl_{key}": (setting,) for key, setting in _verification(tls, name).items()}
        return Route(
            proxy="apache",
            server=host.name,
            server_names=host.names,
            listens=listens,
            listens_tls=any(TLS in listen.split() for listen in listens),
            location=each.path,
            location_path=(scope.section,) if scope.section else (),
            at=each.directive.at,
            directive=each.directive.written,
            passes=each.url,
            protocol=_PROTOCOLS.get(protocol, protocol),
            upstream=upstream or None,
            peers=peers,
            has_variables="$" in each.url or "%{" in each.url,
            connect_timeout_s=seconds(options.get("connectiontimeout"), timeout_s),
            read_timeout_s=timeout_s,
            send_timeout_s=timeout_s,
            buffer_size_bytes=HEADER_BYTES,
            settings=settings,
            host_header=_word(tls, "host", "$host") if _keeps_host(tls) else "$proxy_host",
            sends_sni=bool(name),
            sni_name=name,
            verifies_tls=_word(tls, "sslproxyverify", "none").lower() == "require",
            if_conditions=each.conditions,
        )


def _word(settings: Mapping[str, Setting], name: str, default: str) -> str:
    found = settings.get(name)
    return found.args[0] if found else default


def _keeps_host(settings: Mapping[str, Setting]) -> bool:
    """Return whether the backend gets the client's Host (ProxyPreserveHost) instead of the host of the URL."""
    return _word(settings, "proxypreservehost", "off").lower() == "on"


def _name_for_tls(tls: Mapping[str, Setting], peers: tuple[Peer, ...], host: _Host) -> str:
    """Return the name that the backend is asked for (SNI) and that its certificate must have: the host of the URL, or the
    client's where that is kept. "" for an address, as SNI has none.
    """
    if _keeps_host(tls):
        return _word(tls, "host", host.names[0] if host.names else "")
    name = peers[0].target.host if peers and peers[0].target else ""
    return name if re.search(r"[A-Za-z]", name) and ":" not in name else ""


def _verification(tls: Mapping[str, Setting], name: str) -> dict[str, Setting]:
    """Return the settings by which a probe verifies as httpd does: see probing.plan."""
    found = {}
    if "sslproxycacertificatefile" in tls:
        found["trusted_certificate"] = tls["sslproxycacertificatefile"]
    if "sslproxymachinecertificatefile" in tls:
        found["certificate"] = found["certificate_key"] = tls["sslproxymachinecertificatefile"]
    if name and _word(tls, "sslproxycheckpeername", "on").lower() == "on":
        found["verified_name"] = Setting(args=(name,), at=tls["host"].at if "host" in tls else None)
    return found
