"""`why502 generate fpm-pool`: a PHP-FPM pool that fits into the memory, with limits that end in the right order."""

from __future__ import annotations

import re

from why502.generate import options
from why502.generate.document import Document
from why502.generate.kind import Kind, Made, read
from why502.generate.nginx import installed
from why502.generate.options import Given, Option
from why502.generate.program import NAME, user
from why502.generate.remark import Row, Section, row
from why502.generate.safe import Safe, fill, ini
from why502.host.base import Host
from why502.model.errors import HostError, Why502Error
from why502.model.patterns import lazy

OPTIONS = (
    NAME,
    Option(name="--user", metavar="USER", help="The user that runs the scripts. Default: www-data."),
    Option(
        name="--proxy-user",
        metavar="USER",
        help="The user of the proxy's workers, who must open the socket. Default: that of the installed nginx.",
    ),
    Option(name="--socket", metavar="PATH", help="Default: /run/php/NAME.sock."),
    Option(name="--memory", metavar="SIZE", help="Memory for all children. Default: 60 % of what the machine or its cgroup has."),
    Option(name="--child", metavar="SIZE", help="Memory of one child, measured under load. Default: 64m."),
    Option(name="--processors", metavar="N", help="Processors for the application. Default: all of the machine's."),
    Option(name="--read-timeout", metavar="TIME", help="How long the proxy waits for an answer. Default: 30s."),
    Option(name="--max-body", metavar="SIZE", help="The largest upload. The proxy must accept as much."),
    Option(name="--php", metavar="VERSION", help="The PHP version, such as 8.2. Default: the newest installed."),
)
_TOTAL = lazy(r"^MemTotal:\s+(\d+) kB", re.MULTILINE)
_VERSION = lazy(r"\d\.\d{1,2}")
_SHARE = 0.6  # of the memory: the rest is for the proxy, the database's client, the page cache
_CHILD_BYTES = 64 << 20
_PER_CPU = 5  # children for each processor, above the first 25
_BACKLOG = 1024


def emit(given: Given, host: Host) -> Made:
    """Return the pool. Raises Why502Error."""
    name = options.name("--name", given.get("--name", "www"))
    php = given.get("--php") or _installed(host)
    if not _VERSION.fullmatch(php):
        raise options.refuse("--php", php, "is not a version of PHP", "Write it like 8.2.")
    read_s = options.seconds("--read-timeout", given.get("--read-timeout", "30s"), 6, 86400)
    child = options.size("--child", given.get("--child", "64m"), 1 << 20, 1 << 40)
    if given.has("--memory"):
        memory = options.size("--memory", given.get("--memory"), 1 << 20, 1 << 50)
        source = given.source("--memory") or "as given"
    else:
        memory, source = _memory(host)
    processors = options.number("--processors", given.get("--processors") or str(_processors(host)), 1, 4096)
    most = _most(memory, child, processors)
    proxy = user("--proxy-user", given.get("--proxy-user") or installed.user(host))
    rows = [*_owner(given, name, proxy), *_sizes(most, memory, child, source, _how(given)), *_limits(read_s)]
    if tuple(map(int, php.split("."))) >= (8, 0):
        rows.append(row(f"pm.status_listen = /run/php/{name}.status.sock", "answers even when all children are busy"))
    rows.append(row("pm.status_path = /status", "reports busy children and waiting requests"))
    if given.has("--max-body"):
        size = options.size("--max-body", given.get("--max-body"), 1 << 10, 1 << 40)
        rows.append(row(f"php_admin_value[upload_max_filesize] = {size}", "as much as the proxy accepts"))
        rows.append(row(f"php_admin_value[post_max_size] = {size}"))
    body = fill("sections.j2", sections=(Section(Safe(f"[{name}]"), tuple(rows)),), mark=Safe("; "))
    notes = () if given.has("--child") else ("the memory of a child was not measured: give --child, or use --from-process",)
    document = Document(name=f"{name}.conf", body=body, marks=("; ", ""), places=("pool.d", "php-fpm.d"))
    pinned = [] if given.has("--memory") else [("--memory", str(memory))]
    pinned += [] if given.has("--processors") else [("--processors", str(processors))]
    pinned += [] if given.has("--php") else [("--php", php)]
    pinned += [] if given.has("--proxy-user") else [("--proxy-user", proxy)]
    return Made(documents=(document,), product=f"PHP-FPM {php}", notes=notes, pinned=tuple(pinned), home=f"/etc/php/{php}/fpm")


def _owner(given: Given, name: str, proxy: str) -> list[Row]:
    runs = user("--user", given.get("--user", "www-data"))
    socket = options.path("--socket", given.get("--socket", f"/run/php/{name}.sock"))
    return [
        row(f"user = {ini(runs)}", given.source("--user") or "the scripts run with the rights of this user only"),
        row(f"group = {ini(runs)}"),
        row(f"listen = {ini(socket)}", given.source("--socket")),
        row(f"listen.owner = {ini(proxy)}", "only the proxy's workers need to open the socket"),
        row(f"listen.group = {ini(proxy)}"),
        row("listen.mode = 0660"),
        row(f"listen.backlog = {_BACKLOG}", "bursts wait in this queue instead of failing"),
    ]


def _how(given: Given) -> str:
    """Return how the memory of a child is known."""
    return given.source("--child") or ("as given" if given.has("--child") else "not measured")


def _sizes(most: int, memory: int, child: int, source: str, how: str) -> list[Row]:
    low, high = max(1, most // 5), max(1, most // 2)
    reason = f"{memory >> 20} MiB ({source}) at {child >> 20} MiB for a child ({how})"
    return [
        row("pm = dynamic", "children come and go with the load"),
        row(f"pm.max_children = {most}", reason),
        row(f"pm.start_servers = {(low + high) // 2}", "these four values must be consistent, or PHP-FPM does not start"),
        row(f"pm.min_spare_servers = {low}"),
        row(f"pm.max_spare_servers = {high}"),
        row("pm.max_requests = 1000", "limits slow memory leaks"),
    ]


def _limits(read_s: int) -> list[Row]:
    return [
        row(
            f"php_admin_value[max_execution_time] = {read_s - 5}",
            f"ends before the proxy's limit ({read_s} s), so PHP can log the reason",
        ),
        row(f"request_terminate_timeout = {read_s}s", "ends a child that hangs outside PHP; the proxy no longer waits for it"),
        row(f"request_slowlog_timeout = {max(1, read_s // 3)}s", "shows where a request is slow, before it fails"),
        row("slowlog = /var/log/php-fpm-$pool.slow.log", "the log of slow requests; there is no default"),
        row("catch_workers_output = yes", "what a script writes to stderr reaches the log"),
    ]


def _most(memory: int, child: int, processors: int) -> int:
    """Return how many children fit: at least 2, and above 25 no more than 5 for each processor."""
    fitting = memory // child
    if fitting < 2:
        raise Why502Error(
            f"--memory {memory >> 20} MiB has no room for two children of {child >> 20} MiB",
            "Give more memory, or a smaller --child.",
        )
    return min(fitting, max(25, _PER_CPU * processors))


def _memory(host: Host) -> tuple[int, str]:
    """Return 60 % of the memory of this machine or of its cgroup, in bytes, and where that comes from. Raises Why502Error."""
    found = _TOTAL.search(read(host, "/proc/meminfo"))
    sizes = [(int(found[1]) << 10, "60 % of the machine's memory")] if found else []
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        text = read(host, path).strip()
        if text.isdigit():
            sizes.append((int(text), f"60 % of the limit in {path}"))
    if not sizes:
        raise Why502Error("--memory is missing: the machine does not report how much it has", "Set it: --memory 2g")
    size, source = min(sizes)
    return int(size * _SHARE) >> 20 << 20, source


def _processors(host: Host) -> int:
    return max(1, read(host, "/proc/cpuinfo").count("\nprocessor") + read(host, "/proc/cpuinfo").startswith("processor"))


def _installed(host: Host) -> str:
    """Return the newest installed version of PHP-FPM, as Debian names it; "8.2" if none is known."""
    try:
        names = host.list("/etc/php")
    except HostError:
        names = []
    return max(
        (name for name in names if _VERSION.fullmatch(name)), key=lambda name: tuple(map(int, name.split("."))), default="8.2"
    )


KIND = Kind(
    name="fpm-pool",
    help="Write a PHP-FPM pool, sized by memory.",
    example="why502 generate fpm-pool --name shop --memory 2g --child 60m",
    options=OPTIONS,
    emit=emit,
    home="/etc/php",
    order=2,
)
