"""An installed but stopped nginx: its configuration, and why it stopped."""

from __future__ import annotations

import posixpath
from functools import partial

import msgspec

from why502.gateways.nginx.build import Build, build_option, read_build
from why502.gateways.nginx.effective import configured
from why502.host.base import Host
from why502.machine.attempt import attempt
from why502.machine.suppliers import Rights, supplier_of
from why502.model.config import LogKind
from why502.model.errors import HostError
from why502.model.proxy import Proxy
from why502.model.snapshot import Gap

KIND = "nginx"
# Directory of the configuration, programs that may read it, service: the locations of packages and `make install`.
_PLACES = (
    ("/etc/nginx", ("/usr/sbin/nginx", "/usr/bin/nginx", "/usr/sbin/nginx-debug", "/usr/local/sbin/nginx"), "nginx.service"),
    ("/usr/local/etc/nginx", ("/usr/local/sbin/nginx",), "nginx.service"),
    ("/usr/local/nginx/conf", ("/usr/local/nginx/sbin/nginx",), "nginx.service"),
    ("/usr/local/openresty/nginx/conf", ("/usr/local/openresty/nginx/sbin/nginx",), "openresty.service"),
    ("/etc/angie", ("/usr/sbin/angie",), "angie.service"),
    ("/usr/local/tengine/conf", ("/usr/local/tengine/sbin/nginx",), "tengine.service"),
)
_OPT = ("conf/nginx.conf", "nginx/conf/nginx.conf", "etc/nginx/nginx.conf", "etc/nginx.conf", "nginx.conf")
_MAIN = ("nginx.conf", "angie.conf")
_SHOWN = "UnitFileState,LoadState,ActiveState,SubState,Result,ExecMainCode,ExecMainStatus,InactiveEnterTimestamp"
_TAIL = 64 << 10


def all_stopped(host: Host, gaps: list[Gap]) -> tuple[Proxy, ...]:
    """Return the nginx configurations in the usual places, () if there are none."""
    found = []
    for directory, programs, service in (*_PLACES, *_in_opt(host)):
        config = next((path for name in _MAIN if _exists(host, path := f"{directory}/{name}")), None)
        if config is not None:
            exe = next((program for program in programs if _exists(host, program)), "")
            found.append(stopped(host, config, exe, gaps, service))
    return tuple(found)


def stopped(host: Host, config: str, exe: str, gaps: list[Gap], service: str = "") -> Proxy:
    """Return the proxy described by this main configuration file."""
    if not exe:
        programs = [program for directory, programs, _ in _PLACES if config.startswith(f"{directory}/") for program in programs]
        programs += [program for _, programs, _ in _PLACES for program in programs]
        exe = next((program for program in programs if _exists(host, program)), "")
    build = (attempt(partial(read_build, host, exe)) or Build()) if exe else Build()
    prefix = build_option(build.options, "prefix") or "/usr/local/nginx"
    proxy = Proxy(
        exe=exe,
        version=build.version,
        build=build.options,
        config=config,
        prefix=prefix,
        options=() if build_option(build.options, "conf-path") == config else ("-c", config),
        owner_uid=supplier_of(host, config),
    )
    proxy = configured(proxy, Rights(host, proxy.owner_uid), gaps)
    state = shown(host, service)
    message = parse_show(state)
    return msgspec.structs.replace(
        proxy,
        unit=service if message else "",
        unit_state=parse_state(state) if message else "",
        why_stopped="; ".join(_reasons(host, proxy, f"{service}: {message}" if message else "")),
    )


def shown(host: Host, service: str) -> str:
    """Return the output of `systemctl show` for a service; "" without systemd, or if it does not answer."""
    if not service or not _exists(host, "/run/systemd/system"):
        return ""
    try:
        return host.run("systemctl", "show", service, f"--property={_SHOWN}", timeout_s=1.5).stdout
    except HostError:
        return ""


def _reasons(host: Host, proxy: Proxy, state: str) -> list[str]:
    reasons = [state] if state else []
    for log in proxy.logs:
        acting = host.acting_as(proxy.supplier(log.at))
        if log.kind is LogKind.ERROR and log.path and (line := _last_emerg(acting, log.path)):
            reasons.append(f"{log.path}: {line}")
            break
    return reasons


def parse_show(output: str) -> str:
    """Return the state of a stopped service from `systemctl show`; "" if it does not exist (systemd.service(5))."""
    values = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
    if values.get("LoadState") in (None, "not-found"):
        return ""
    message = [f"{values.get('ActiveState', '?')} ({values.get('SubState', '?')})"]
    if (result := values.get("Result", "")) not in ("", "success"):
        message.append(f"result {result}")
    code, status = values.get("ExecMainCode", "0"), values.get("ExecMainStatus", "0")
    if status != "0":
        message.append(f"{'exit status' if code in ('1', 'exited') else 'signal'} {status}")
    if values.get("LoadState") != "loaded":
        message.append(f"unit is {values['LoadState']}")
    if since := values.get("InactiveEnterTimestamp"):
        message.append(f"since {since}")
    return ", ".join(message)


def parse_state(output: str) -> str:
    """Return "failed" for a service that failed, or that is only restarting, else whether its unit is enabled, disabled or
    masked.
    """
    values = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
    has_failed = values.get("ActiveState") == "failed" or values.get("SubState") == "auto-restart"
    return "failed" if has_failed else values.get("UnitFileState", "")


def parse_active(output: str) -> str:
    """Return the active state of a service (systemctl(1)); "" if it does not exist."""
    values = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
    return values.get("ActiveState", "")


def _last_emerg(host: Host, path: str) -> str:
    """Return the error log's last line of level emerg, if no start came after it."""
    try:
        with host.open(path) as log:
            log.seek(max(0, log.seek(0, 2) - _TAIL))
            lines = log.read(_TAIL).decode("utf-8", "replace").splitlines()
    except (HostError, OSError):
        return ""
    for line in reversed(lines):
        if "[emerg]" in line:
            return line[:500]
        if "start worker process" in line:
            return ""
    return ""


def _in_opt(host: Host) -> list[tuple[str, tuple[str, ...], str]]:
    found: list[tuple[str, tuple[str, ...], str]] = []
    for name in (attempt(partial(host.list, "/opt")) or [])[:200]:
        for main in _OPT:
            if _exists(host, path := f"/opt/{name}/{main}"):
                directory = posixpath.dirname(path)
                beside = posixpath.dirname(directory)
                found.append((directory, (f"{beside}/sbin/nginx", f"{beside}/bin/nginx", f"/opt/{name}/sbin/nginx"), ""))
                break
    return found


def _exists(host: Host, path: str) -> bool:
    return attempt(partial(host.stat, path)) is not None
