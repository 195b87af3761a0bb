"""The nginx of this machine: its version and build options, and what its main configuration file decides for others."""

from __future__ import annotations

from why502.config.configuration import Configuration
from why502.gateways.nginx.build import Build, build_option, read_build
from why502.gateways.nginx.config import load
from why502.generate.kind import read
from why502.host.base import Host
from why502.model.errors import HostError, Missing, Why502Error
from why502.model.times import whole_number

_PROGRAMS = ("/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/local/nginx/sbin/nginx", "/usr/bin/nginx")


def build(host: Host) -> Build:
    """Return the build of the installed nginx; an empty one if there is none that we may read."""
    for program in _PROGRAMS:
        try:
            return read_build(host, program)
        except HostError:
            continue
    return Build()


def user(host: Host) -> str:
    """Return the user of the workers: of the main file, else of the build, else what this kind of machine has."""
    found = _main(host)
    usual = "www-data" if "www-data:" in read(host, "/etc/passwd") else "nginx"
    return (found.user if found and _words(found, "user") else "") or build_option(build(host).options, "user") or usual


def pid_file(host: Host) -> str:
    """Return the file with the pid of the master: of the main file, else of the build."""
    found = _main(host)
    named = _words(found, "pid") if found else ()
    own = named[0] if named and named[0].startswith("/") else ""
    return own or build_option(build(host).options, "pid-path") or "/run/nginx.pid"


def files_limit(host: Host) -> int | None:
    """Return how many files nginx's unit lets a process open (LimitNOFILE, systemd.exec(5)); None if it is not known."""
    try:
        answer = host.run("systemctl", "show", "--property", "LimitNOFILE", "--value", "nginx.service").stdout.strip()
    except HostError:
        return None
    return whole_number(answer)


def _words(configuration: Configuration, name: str) -> tuple[str, ...]:
    return next((one.args for one in configuration.directives if one.name == name), ())


def _main(host: Host) -> Configuration | None:
    """Return the main file without what it includes; None if it cannot be read."""
    path = build_option(build(host).options, "conf-path") or "/etc/nginx/nginx.conf"

    def content(name: str) -> bytes:
        if name != path:
            raise Missing("only the main file is read")
        return host.read(path)

    def listing(_: str) -> list[str]:
        raise Missing("only the main file is read")

    try:
        return load(content, listing, path)
    except (HostError, Why502Error):
        return None
