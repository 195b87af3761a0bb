"""The HAProxy, Apache httpd, Caddy and Varnish that run and pass requests on, with the files that their command lines name.

Sources: haproxy(1); httpd(8); core documentation of httpd (Include, IncludeOptional, ServerRoot, ErrorLog);
caddyserver.com/docs/command-line.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import pairwise

import msgspec

from why502.config.configuration import Configuration
from why502.gateways.apache import config as apache
from why502.gateways.apache.switch_files import in_force
from why502.gateways.caddy import config as caddy
from why502.gateways.haproxy import config as haproxy
from why502.gateways.varnish import config as varnish
from why502.host.base import Host
from why502.machine import suppliers
from why502.machine.attempt import attempt
from why502.machine.process_table import ProcessTable
from why502.machine.suppliers import Allowance, Rights
from why502.model.config import LogTarget
from why502.model.errors import HostError
from why502.model.snapshot import Gap, Process, Proxy

MOST = 16
MOST_OF_USER = 4  # of each user other than root
MOST_FILES = 256
_SYSTEM = "/system.slice/"  # where systemd's own services are; those of users, whoever names them, are in user.slice
WORKERS = 8
_LIMIT = 4 << 20
_KINDS = {"haproxy": "haproxy", "apache2": "apache", "httpd": "apache", "caddy": "caddy", "varnishd": "varnish"}
MAIN = {
    "caddy": "/etc/caddy/Caddyfile",
    "haproxy": "/etc/haproxy/haproxy.cfg",
    "apache2": "/etc/apache2/apache2.conf",
    "httpd": "/etc/httpd/conf/httpd.conf",
    "varnishd": "/etc/varnish/default.vcl",
}
_READERS = {"haproxy": haproxy.load, "apache": apache.load, "caddy": caddy.load, "varnish": varnish.load}
_WORKERS = {"varnishd": "cache-main"}  # where they are called otherwise than their master
_VCL_INCLUDE = re.compile(r"^[ \t]*include[ \t]+\"([^\"\n]+)\"", re.MULTILINE)
_CADDY_IMPORT = re.compile(r"^[ \t]*import[ \t]+\"?([^\s\"{}]*[/.*][^\s\"{}]*)", re.MULTILINE)
_HAPROXY_LOGS = ("/var/log/haproxy.log", "/var/log/haproxy/haproxy.log")
_INCLUDE = re.compile(r"^[ \t]*Include(?:Optional)?[ \t]+\"?([^\s\"]+)", re.MULTILINE | re.IGNORECASE)
_ROOT = re.compile(r"^[ \t]*ServerRoot[ \t]+\"?([^\s\"]+)", re.MULTILINE | re.IGNORECASE)
_LOG = re.compile(r"^[ \t]*(ErrorLog|CustomLog|TransferLog)[ \t]+(?:\"([^\"|]+)\"|([^\s\"|]+))", re.MULTILINE | re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{(APACHE_\w+)\}")


def others(host: Host, table: ProcessTable, allowances: dict[int, Allowance], gaps: list[Gap]) -> list[Proxy]:
    """Return those that lead somewhere, root's first. Raises HostError."""
    every = masters(host, table)
    found = (one(host, table, pid, name, uid, allowances.setdefault(uid, Allowance()), gaps) for uid, pid, name in every)
    return [proxy for proxy in found if proxy is not None]


def masters(host: Host, table: ProcessTable) -> Iterator[tuple[int, int, str]]:
    """Yield user, number and name of the main processes that are looked at: root's, then a few of each other user's.

    Raises HostError.
    """
    stats = table.stats()
    pids = [
        pid
        for pid, stat in stats.items()
        if stat.name in _KINDS and stat.state != "Z" and (stat.ppid not in stats or stats[stat.ppid].name != stat.name)
    ]
    owners = {pid: uid for pid in pids if (uid := attempt(partial(_owner, host, pid, stats[pid].name))) is not None}
    taken: Counter[int] = Counter()
    for pid in sorted(owners, key=lambda pid: (owners[pid] != suppliers.ROOT, pid)):
        taken[owners[pid]] += 1
        if taken[owners[pid]] <= (MOST if owners[pid] == suppliers.ROOT else MOST_OF_USER) and taken.total() <= 2 * MOST:
            yield owners[pid], pid, stats[pid].name


def _owner(host: Host, pid: int, name: str) -> int:
    """Return the user who supplies what a process says of itself. Raises HostError.

    The manager of Varnish is root's and lends itself another effective user, except for moments (varnishd(1), -j unix): nobody but
    root started it.
    """
    return (suppliers.of_jailed if name == "varnishd" else suppliers.of_process)(host, pid)


def one(host: Host, table: ProcessTable, pid: int, name: str, uid: int, allowance: Allowance, gaps: list[Gap]) -> Proxy | None:
    """Return what a main process of this user makes; None where it leads nowhere: one that only serves files is no proxy.

    Where its files cannot be read, that is a gap of an HAProxy; nobody knows whether an Apache is a proxy.
    """
    try:
        proxy = _proxy(Rights(host, uid, table.root(pid), allowance), table.process(pid), _workers(table, pid), name)
    except HostError as error:
        if name in ("haproxy", "varnishd"):
            gaps.append(Gap(source="proxies", reason=f"{name} process {pid}: {error.reason}", hint=error.hint))
        return None
    return proxy if proxy.routes else None


def _workers(table: ProcessTable, master: int) -> tuple[Process, ...]:
    """Return some of the processes that a master started: they connect to the backends, as another user than its own."""
    stats = table.stats()
    name = stats[master].name
    children = sorted(
        pid
        for pid, stat in stats.items()
        if stat.ppid == master and stat.name in (name, _WORKERS.get(name)) and stat.state != "Z"
    )
    found = (attempt(partial(table.process, pid)) for pid in children[:WORKERS])
    return tuple(worker for worker in found if worker is not None)


def _proxy(rights: Rights, process: Process, workers: tuple[Process, ...], name: str) -> Proxy:
    seen = rights.own
    kind = _KINDS[name]
    mains = _files(process, name)
    reader = _READERS[kind]
    if kind == "haproxy":
        texts = list(haproxy_texts(rights, mains))
    elif kind == "caddy":
        texts = list(_caddy_texts(rights, mains[0]))
    elif kind == "varnish":
        texts = list(_vcl_texts(rights, mains[0], process))
    else:
        texts = list(apache_texts(rights, process, mains[0]))
    read: list[Configuration] = [reader(text, path) for path, text in texts]
    if kind == "haproxy":
        logs = haproxy_logs(seen)
    elif kind == "caddy":
        logs = (*(log for each in read for log in each.logs), LogTarget(kind="access", goes_to="stderr"))
    elif kind == "varnish":
        logs = (LogTarget(kind="error", goes_to="memory", path=process.cwd),)  # it works in the directory that -n names
    else:
        logs = tuple(apache_logs(texts, process))
    return Proxy(
        kind=kind,
        pid=process.pid,
        config=mains[0],
        root=process.root,
        network=process.network,
        unit=process.unit if not rights.owner_uid or process.cgroup.startswith(_SYSTEM) else "",
        user=workers[0].user if workers else process.user,
        workers=workers,
        started_at=process.started_at,
        files=tuple(msgspec.structs.replace(file, owner_uid=rights.supplier(file.path)) for each in read for file in each.files),
        owner_uid=rights.owner_uid,
        routes=tuple(route for each in read for route in each.routes),
        upstreams=tuple(group for each in read for group in each.upstreams),
        answers=in_force(seen, [answer for each in read for answer in each.answers]),
        logs=logs,
    )


def _files(process: Process, name: str) -> list[str]:
    """Return the configuration files that the command line names, else the one that its distribution has."""
    words = [part for word in process.argv[1:] for part in (word.split("=", 1) if word.startswith("--config=") else (word,))]
    options = ("--config", "-c") if name == "caddy" else ("-f",)
    named = [after for word, after in pairwise(words) if word in options]
    directory = next((after for word, after in pairwise(words) if word in ("-d", "-C") and "/" in after), "")
    base = posixpath.join(process.cwd or "/", directory)
    return [posixpath.normpath(posixpath.join(base, path)) for path in named] or [MAIN[name]]


def _decoded(content: bytes) -> str:
    return content[:_LIMIT].decode("utf-8", "surrogateescape")


def haproxy_texts(rights: Rights, mains: list[str]) -> Iterator[tuple[str, str]]:
    """Yield each file with its text; a directory stands for its `*.cfg`, in the order of their names."""
    for main in mains:
        names = attempt(partial(rights.own.list, main))
        paths = [main] if names is None else [posixpath.join(main, name) for name in names if name.endswith(".cfg")]
        for path in paths[:MOST_FILES]:
            yield path, _decoded(rights.read(path))


def _caddy_texts(rights: Rights, main: str) -> Iterator[tuple[str, str]]:
    """Yield the main file and the files that it imports, each once, each read with the rights of whoever supplies the file that names it."""
    left, done = [(main, "")], set[str]()
    while left and len(done) < MOST_FILES:
        path, by = left.pop(0)
        if path in done:
            continue
        done.add(path)
        content = rights.read(path) if not by else attempt(partial(rights.reading(by)[0], path))
        if content is None:
            continue
        text = _decoded(content)
        yield path, text
        for match in _CADDY_IMPORT.finditer(text):
            left += [(each, path) for each in _fitting(rights.of(path), posixpath.join(posixpath.dirname(path), match[1]))]


def _vcl_texts(rights: Rights, main: str, process: Process) -> Iterator[tuple[str, str]]:
    """Yield the VCL file and those that it includes; where -b names the backend, one with that alone."""
    if backend := next((after for word, after in pairwise(process.argv) if word == "-b"), ""):
        host, _, port = backend.rpartition(":") if re.search(r":\d+$", backend) else (backend, "", "80")
        yield "varnishd -b", f'backend default {{ .host = "{host.strip("[]")}"; .port = "{port}"; }}'
        return
    left, done = [(main, "")], set[str]()
    while left and len(done) < MOST_FILES:
        path, by = left.pop(0)
        if path in done:
            continue
        done.add(path)
        content = rights.read(path) if not by else attempt(partial(rights.reading(by)[0], path))
        if content is None:
            continue
        text = _decoded(content)
        yield path, text
        for match in _VCL_INCLUDE.finditer(text):
            relative = posixpath.dirname(path) if match[1].startswith("./") else posixpath.dirname(main)
            left.append((posixpath.normpath(posixpath.join(relative, match[1])), path))


def apache_texts(rights: Rights, process: Process, main: str) -> Iterator[tuple[str, str]]:
    """Yield the main file and what it includes, each once, each read with the rights of whoever supplies the file that names it."""
    base, left, done = posixpath.dirname(main), [(main, "")], set[str]()
    while left and len(done) < MOST_FILES:
        path, by = left.pop(0)
        if path in done:
            continue
        done.add(path)
        content = rights.read(path) if not by else attempt(partial(rights.reading(by)[0], path))
        if content is None:
            continue
        text = _decoded(content)
        yield path, text
        if path == main and (root := _ROOT.search(text)):
            base = posixpath.join(base, _named(root[1], process))
        for match in _INCLUDE.finditer(text):
            fitting = _fitting(rights.of(path), posixpath.join(base, _named(match[1], process)))
            left += [(each, path) for each in fitting]


def _fitting(host: Host, pattern: str) -> list[str]:
    """Return the files that an Include names: a file, a directory with all in it, or what a pattern fits."""
    paths = [""] if pattern.startswith("/") else []
    for part in pattern.strip("/").split("/"):
        if not re.search(r"[*?\[]", part):
            paths = [f"{path}/{part}" for path in paths]
            continue
        paths = [
            f"{path}/{name}"
            for path in paths
            for name in attempt(partial(host.list, path or "/")) or ()
            if fnmatch.fnmatchcase(name, part)
        ][:MOST_FILES]
    return [
        inner
        for path in paths
        for names in (attempt(partial(host.list, path)),)
        for inner in ([path] if names is None else [f"{path}/{name}" for name in names])
    ]


def _named(path: str, process: Process) -> str:
    """Return a path with the variables that Debian's envvars sets."""
    suffix = process.argv[0].rpartition("/")[2].removeprefix("apache2") if process.argv else ""
    known = {"APACHE_LOG_DIR": f"/var/log/apache2{suffix}", "APACHE_CONFDIR": f"/etc/apache2{suffix}"}
    return _VARIABLE.sub(lambda match: known.get(match[1], match[0]), path)


def apache_logs(texts: list[tuple[str, str]], process: Process) -> Iterator[LogTarget]:
    """Yield the logs that its files name."""
    base = posixpath.dirname(texts[0][0])
    if root := _ROOT.search(texts[0][1]):
        base = posixpath.join(base, _named(root[1], process))
    for _, text in texts:
        for match in _LOG.finditer(text):
            path = _named(match[2] or match[3], process)
            if not path.startswith("syslog") and "$" not in path:
                kind = "error" if match[1].lower() == "errorlog" else "access"
                yield LogTarget(kind=kind, path=posixpath.normpath(posixpath.join(base, path)))


def haproxy_logs(host: Host) -> tuple[LogTarget, ...]:
    """Return where syslog keeps its lines: HAProxy itself writes no file."""
    found = (path for path in _HAPROXY_LOGS if attempt(partial(host.stat, path)) is not None)
    return tuple(LogTarget(kind="access", path=path) for path in found) or (LogTarget(kind="access", goes_to="syslog"),)
