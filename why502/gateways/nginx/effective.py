"""From the configuration files of an nginx to the fields of its Proxy."""

from __future__ import annotations

import msgspec

from why502.gateways.nginx import config as nginx
from why502.gateways.running import changed_at, supplied
from why502.gateways.switch_files import in_force_of_nginx
from why502.machine.suppliers import Rights
from why502.model.errors import HostError
from why502.model.proxy import Proxy
from why502.model.snapshot import Gap


def configured(proxy: Proxy, rights: Rights, gaps: list[Gap]) -> Proxy:
    """Return the proxy with the fields from its configuration; with a Gap instead if that cannot be read."""
    seen = rights.own

    try:
        found = nginx.load(
            rights.read,
            seen.list,
            proxy.config,
            proxy.prefix,
            version=proxy.version,
            build_arguments=proxy.build,
            command_line=option(proxy, "-g"),
            error_log=option(proxy, "-e"),
            rights=rights.reading,
        )
    except HostError as error:
        name = f"nginx process {proxy.pid}" if proxy.pid else "nginx"
        gaps.append(Gap(source="proxies", reason=f"configuration of {name}: {error.reason}", hint=error.hint))
        return proxy
    gaps.extend(found.gaps)
    files = supplied(rights, found.files)
    return msgspec.structs.replace(
        proxy,
        files=files,
        changed_at=changed_at(files),
        user=found.user,
        listens=found.listens,
        worker_connections=found.worker_connections,
        problems=found.problems,
        routes=found.routes,
        upstreams=found.upstreams,
        servers=found.servers,
        answers=in_force_of_nginx(seen, found.answers),
        logs=found.logs,
        pid_file=found.pid_file,
    )


def option(proxy: Proxy, letter: str) -> str:
    """Return the value of one of its command-line options, "" if it was not given."""
    pairs = zip(proxy.options[::2], proxy.options[1::2], strict=False)
    return next((value for name, value in pairs if name == letter), "")
