"""The nginx of this machine: its version and its build options."""

from __future__ import annotations

from why502.gateways.nginx.build import Build, read_build
from why502.host.base import Host
from why502.model.errors import HostError

_PROGRAMS = ("/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/local/nginx/sbin/nginx", "/usr/bin/nginx")


def build(host: Host) -> Build:
    """Return the build of the installed nginx; an empty one if there is none that we may read."""
    for program in _PROGRAMS:
        try:
            return read_build(host, program)
        except HostError:
            continue
    return Build()
