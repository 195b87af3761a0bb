"""Routes whose protocol, address family or parameters do not fit their target."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.model.finding import Risk, Severity
from why502.model.patterns import lazy

_WEB_PORTS = frozenset({80, 443})
_OF_FPM = lazy(r"status|ping|fpm")


@rule(206, "fastcgi-to-web-port", Severity.NOTE, "wrong-protocol")
def web_port(deployment: Deployment) -> Iterator[Risk]:
    """`fastcgi_pass` leads to a port of web servers.

    A web server does not speak FastCGI: `upstream sent unsupported FastCGI protocol version`, 502.
    """
    for route in deployment.routes_of("fastcgi"):
        for peer in deployment.peers(route) if route.protocol == "fastcgi" else ():
            if peer.target is not None and peer.target.port in _WEB_PORTS:
                yield risk(f"{peer.name} is a port of web servers", route.at, "use proxy_pass, or the port of PHP-FPM")


@rule(207, "uwsgi-params-missing", Severity.WARNING, "invalid-response")
def params_missing(deployment: Deployment) -> Iterator[Risk]:
    """`uwsgi_pass` sends no parameters, so the application does not even get the method and the path.

    `include uwsgi_params;` sets them.
    """
    yield from _without_parameters(deployment, "uwsgi")


@rule(228, "request-parameters-missing", Severity.WARNING, "application-error")
def request_missing(deployment: Deployment) -> Iterator[Risk]:
    """PHP gets the name of the script, but neither the method nor the query of the request.

    A `fastcgi_param` in a block drops all those of the enclosing blocks. Forms and parameters do not reach the application.
    `include fastcgi_params;` beside it sets them.
    """
    for route in deployment.routes_of("fastcgi"):
        level = deployment.level(route)
        if route.protocol != "fastcgi" or not deployment.is_whole or level is None or not level.is_known:
            continue
        names = {one.args[0] for one in level.settings.get("fastcgi_param", ()) if one.args}
        if _OF_FPM.search(route.location):  # a page of PHP-FPM itself
            continue
        if "SCRIPT_FILENAME" in names and not names & {"REQUEST_METHOD", "QUERY_STRING", "HTTP_HOST"}:
            yield risk("PHP does not get the method and the query", route.at, "add `include fastcgi_params;`")


@rule(229, "scgi-params-missing", Severity.WARNING, "invalid-response")
def scgi_missing(deployment: Deployment) -> Iterator[Risk]:
    """`scgi_pass` sends no parameters, so the application does not even get the method and the path.

    `include scgi_params;` sets them.
    """
    yield from _without_parameters(deployment, "scgi")


def _without_parameters(deployment: Deployment, protocol: str) -> Iterator[Risk]:
    """Yield the routes of a protocol that send none of its parameters."""
    for route in deployment.routes_of(protocol):
        level = deployment.level(route)
        if route.protocol == protocol and deployment.is_whole and level is not None and level.is_known:
            if not {f"{protocol}_param", "include"} & level.settings.keys():
                yield risk(f"no {protocol}_param is set here", route.at, f"add `include {protocol}_params;`")


@rule(208, "script-below-alias", Severity.WARNING, "fastcgi-script-not-found")
def below_alias(deployment: Deployment) -> Iterator[Risk]:
    """The path of a script has the location twice: `$document_root` is the alias there.

    `/blog/x.php` becomes `/srv/blog//blog/x.php`, and PHP-FPM answers `File not found`.
    """
    for level, directive in deployment.uses("fastcgi_param"):
        if directive.args[:1] == ("SCRIPT_FILENAME",) and "$document_root$fastcgi_script_name" in directive.args[1:2]:
            outer = next((each for each in level.outwards if each.by_name.keys() & {"alias", "root"}), None)
            if outer is None or not (alias := outer.own("alias")) or outer.args[-1:] in ((), ("/",)):
                continue
            is_directory = alias[0].args[-1:] and alias[0].args[-1].endswith("/")
            if not (outer.args[0] == "=" and is_directory):  # the script of `location = /index.php` is in that directory
                yield risk("the script's path has the location twice", directive.at, "use $request_filename")


@rule(209, "bind-does-not-fit", Severity.ERROR, "proxy-bind-failed")
def bind(deployment: Deployment) -> Iterator[Risk]:
    """The address to connect from does not reach the backend: loopback for another machine, or IPv6 for IPv4.

    `bind() failed`, `connect() failed (22: Invalid argument)`: every request gets 500 or 502.
    """
    for route in deployment.routes_setting("bind"):
        setting = route.setting(f"{route.directive.removesuffix('_pass')}_bind")
        own = _address(setting.args[0]) if setting and setting.args else None
        if own is None or setting is None:
            continue
        for peer in deployment.peers(route):
            to = peer.target
            if to is None or to.is_unix or not to.is_address or "transparent" in setting.args:
                continue
            is_other_family = (":" in to.host) != (own.version == 6)
            if is_other_family or (own.is_loopback and not to.is_loopback):
                yield risk(
                    f"{peer.name} cannot be reached from {setting.args[0]}", setting.at, "remove it, or name another address"
                )
                break


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address in the argument of `proxy_bind`; None if it holds a variable."""
    host = text[1:].partition("]")[0] if text.startswith("[") else text.partition(":")[0] if text.count(":") == 1 else text
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


@rule(210, "tls-port-without-ssl", Severity.WARNING, "client-protocol-incompatible")
def no_ssl(deployment: Deployment) -> Iterator[Risk]:
    """A server has a certificate and listens on port 443 without `ssl`.

    It takes plain HTTP there. Browsers get no TLS handshake. `ssl` in one server holds for all servers of an address.
    """
    severity = None if deployment.is_whole else Severity.NOTE  # another site may have it
    for level in deployment.blocks("server"):
        if level.path[:1] == ("stream",) or not level.own("ssl_certificate") or not level.is_known or level.first("ssl") == "on":
            continue
        for listen in level.own("listen"):
            address, words = (listen.args or ("",))[0], set(listen.args[1:])
            if address.rpartition(":")[2] == "443" and not words & {"ssl", "quic"} and not _is_tls_elsewhere(deployment, address):
                yield risk("port 443 without ssl takes plain HTTP", listen.at, "write listen 443 ssl", severity=severity)


def _is_tls_elsewhere(deployment: Deployment, address: str) -> bool:
    """Return whether another `listen` of that address has ssl, which then holds for all."""
    return any(directive.args[:1] == (address,) and "ssl" in directive.args for _, directive in deployment.uses("listen"))


@rule(211, "authentication-redirects", Severity.ERROR, "auth-service-failed")
def redirects(deployment: Deployment) -> Iterator[Risk]:
    """The location of an authentication subrequest answers with a redirect.

    `auth_request` knows 2xx, 401 and 403. Anything else is 500: `auth request unexpected status: 302`.
    """
    asked = {directive.args[0] for _, directive in deployment.uses("auth_request") if directive.args}
    for level in deployment.blocks("location"):
        if level.args and level.args[-1] in asked:
            for answer in level.own("return"):
                if answer.args and (answer.args[0].startswith("3") or "://" in answer.args[0]):
                    yield risk("a redirect is no answer to auth_request", answer.at, "return 401, and redirect with error_page")
