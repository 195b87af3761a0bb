"""The proxy's own test of its configuration on disk: `nginx -t` by the very binary that runs, leaving no trace.

`nginx -t` writes: it makes missing log files, pid file and folders, and gives temporary folders to the workers' user
(ngx_init_cycle, ngx_create_paths), which would mend or hide the fault that we look for. So it runs in a mount namespace of
its own where overlays take all that it writes, and vanish with it. It needs root; without, the test runs only where it
would find all these files in place. One trace stays: where nginx is stopped, the test holds its free ports for a millisecond.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from functools import partial

import msgspec

from why502.host.base import Host
from why502.model.config import Position
from why502.model.errors import HostError, Missing
from why502.model.snapshot import ConfigProblem, Gap, Proxy, Snapshot
from why502.sources.attempt import attempt
from why502.sources.base import Ask, Found
from why502.sources.nginx_build import build_option
from why502.sources.nginx_effective import option
from why502.sources.nginx_writes import written_files, written_folders
from why502.sources.process_table import ProcessTable, parse_status

SECTION = "proxies"
LIMIT_S = 8.0

_TIME_S = 4.0
_NO_ROOM = 97  # exit status of the script when it could not lay the overlays
_SINCE_E = (1, 19, 5)  # option -e
# "nginx: [emerg] …" on a terminal, "2026/11/21 00:43:15 [emerg] 5300#5300: …" where the error log is stderr
_SAYS = re.compile(
    r"^(?:nginx: |[\d/]+ [\d:]+ )\[(?:emerg|alert|crit|error)\] (?:\d+#\d+: )?(?P<says>.*?)(?: in (?P<file>/[^\n]*?):(?P<line>\d+))?$",
    re.MULTILINE,
)
_PERMISSION = ("(13: Permission denied)", "(1: Operation not permitted)")
# Log files come as arguments, "-", folders, "--" and the program. Mounts below a folder are brought back on top of its
# overlay. Log files stand empty in the overlay: to open one for writing would copy it whole into memory.
_SCRIPT = """
trap 'exit 97' EXIT
set -e
for t in /dev/shm /mnt /media; do [ -d $t ] && break; done
mount -t tmpfs -o mode=0755 why502 $t
n=0
: > $t/done
: > $t/logs
while [ "$1" != - ]; do
  if [ -f "$1" ]; then readlink -f -- "$1" >> $t/logs; fi
  shift
done
shift
while [ "$1" != -- ]; do
  d=$(cd -P -- "$1" && pwd); shift
  [ "$d" != / ]
  while read -r c; do case "$d/" in "$c"/*) continue 2;; esac; done < $t/done
  n=$((n + 1)); s=$t/$n
  mkdir $s $s/up $s/work $s/was
  chown --reference="$d" $s/up && chmod --reference="$d" $s/up
  while read -r f; do
    case "$f" in "$d"/*) (cd "$d" && cp --parents --attributes-only --preserve=mode,ownership -- "${f#"$d"/}" $s/up) || true;; esac
  done < $t/logs
  mount --rbind "$d" $s/was
  cat /proc/self/mountinfo > $s/mounts
  mount -t overlay -o lowerdir=$s/was,upperdir=$s/up,workdir=$s/work why502 "$d"
  while read -r _ _ _ _ m _; do case "$m" in $s/was/?*) mount --rbind "$m" "$d/${m#$s/was/}";; esac; done < $s/mounts
  printf '%s\\n' "$d" >> $t/done
done
shift
trap - EXIT
exec "$@"
"""


def collect(host: Host, known: Snapshot, ask: Ask) -> Found[tuple[Proxy, ...]]:
    """Return the proxies with the result of their tests."""
    if not known.proxies or ask.offline:
        return Found(None)
    gaps: list[Gap] = []
    tested = []
    for proxy in known.proxies:
        try:
            tested.append(_tested(host, proxy))
        except HostError as error:
            name = f"{proxy.kind} process {proxy.pid}" if proxy.pid else proxy.config
            gaps.append(Gap(source="config test", why=f"{name}: {error.why}", allow=error.allow))
            tested.append(proxy)
    return Found(tuple(tested), tuple(gaps))


_TESTS = {"haproxy": "run `haproxy -c -f {}` yourself", "apache": "run `apachectl -t -f {}` yourself"}


def _tested(host: Host, proxy: Proxy) -> Proxy:
    if proxy.kind != "nginx":
        raise HostError("its own test is not asked for", _TESTS.get(proxy.kind, "").format(proxy.config))
    if not proxy.exe or not proxy.files:
        raise HostError("there is no program that could test it" if not proxy.exe else "its configuration cannot be read")
    own = _identity(host, "self")
    user = _identity(host, str(proxy.pid)) if proxy.pid else own
    command = (f"/proc/{proxy.pid}/exe" if proxy.pid else proxy.exe, "-t", *_options(proxy))
    folders = tuple(_folders(proxy))
    if own[0] == 0:
        argv = _from_outside(host, proxy, folders, user, command)
    else:
        _may_run_plainly(host, proxy, own[0], user[0])
        argv = command
    done = host.run(*argv, timeout_s=_TIME_S)
    if argv is not command and (done.status == _NO_ROOM or done.stderr.startswith("unshare:")):
        if path := _written(host, proxy):
            raise HostError(f"its test would write to {path}, and no overlay could take it", "run `nginx -t` yourself")
        done = host.run(*command, timeout_s=_TIME_S)
    problems = parse_test(done.stderr)
    if done.status == 0:
        return msgspec.structs.replace(proxy, test="ok")
    if not problems:
        raise HostError(f"its test ended with status {done.status}: {done.stderr.strip()[:200]}", "run `nginx -t` yourself")
    if user[0] != 0 and any(text in problem.says for problem in problems for text in _PERMISSION):
        raise HostError(f"its test as user {user[0]} says: {problems[0].says}", "run as root")
    known = {(problem.says, str(problem.at)) for problem in problems}
    others = tuple(problem for problem in proxy.problems if (problem.says, str(problem.at)) not in known)
    return msgspec.structs.replace(proxy, test="failed", problems=(*problems, *others))


def parse_test(output: str) -> tuple[ConfigProblem, ...]:
    """Return the errors that `nginx -t` printed. Warnings, and lines of modules in words of their own, are no errors."""
    problems = (
        ConfigProblem(
            says=match["says"],
            at=Position(file=match["file"], line=int(match["line"])) if match["file"] else None,
            seen_in="nginx -t",
        )
        for match in _SAYS.finditer(output)
    )
    return tuple(dict.fromkeys(problems))


def _from_outside(
    host: Host, proxy: Proxy, folders: tuple[str, ...], user: tuple[int, int], command: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the command that tests as root without a trace. Raises HostError where the binary is not to be trusted.

    A master of uid 0 in our user namespace was started by root, who trusts it. Any other binary runs as its own user.
    """
    enter: tuple[str, ...] = ()
    if proxy.pid and (proxy.root or proxy.network):
        if proxy.root and not _is_our_root(host, proxy.pid, proxy.root, user[0]):
            raise HostError(
                "it runs in a container: no program of another root is run from here", "run `nginx -t` in the container"
            )
        enter = ("nsenter", *((f"--mount=/proc/{proxy.pid}/ns/mnt",) if proxy.root else ()))
        enter += (f"--net=/proc/{proxy.pid}/ns/net",) if proxy.network else ()
    drop: tuple[str, ...] = ()
    if user[0] != 0:
        drop = ("setpriv", f"--reuid={user[0]}", f"--regid={user[1]}", "--clear-groups", "--no-new-privs", "--inh-caps=-all")
        drop += ("env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C")
    there = host.inside(proxy.root) if proxy.root else host
    present = tuple(folder for folder in folders if attempt(partial(there.stat, folder)) is not None)
    return (
        *enter,
        "unshare",
        "-m",
        "--propagation",
        "private",
        "sh",
        "-c",
        _SCRIPT,
        "sh",
        *_logs(proxy),
        "-",
        *present,
        "--",
        *drop,
        *command,
    )


def _is_our_root(host: Host, pid: int, root: str, uid: int) -> bool:
    """Return whether another mount namespace was made by root over our own root folder, as systemd's PrivateTmp= does."""
    if uid != 0 or root != f"/proc/{pid}/root" or not ProcessTable(host).is_of_our_users(pid):
        return False
    ours, its = attempt(partial(host.stat, "/")), attempt(partial(host.stat, f"{root}/"))
    return ours is not None and its is not None and (ours.device, ours.inode) == (its.device, its.inode)


def _may_run_plainly(host: Host, proxy: Proxy, own: int, user: int) -> None:
    """Raise HostError unless the test runs as the proxy's own user, in our own root, and would write nothing."""
    if proxy.root or proxy.network or user != own or (not proxy.pid and proxy.prefix.startswith("/usr")):
        raise HostError("only its own user or root can test it", "run as root")
    if path := _written(host, proxy):
        raise HostError(f"its test would write to {path}", "run `nginx -t` yourself")


def _written(host: Host, proxy: Proxy) -> str:
    """Return a path that a test would make, or give to another owner; "" where there is none. Raises HostError."""
    if proxy.root or proxy.network:
        return "another namespace"
    workers = {worker.uid for worker in proxy.workers if worker.uid != 0}
    for path in (*written_files(proxy), *written_folders(proxy)):
        try:
            stat = host.stat(path)
        except Missing:
            return path
        if stat.kind == "folder" and stat.uid not in workers:
            return path
    return ""


def _options(proxy: Proxy) -> Iterator[str]:
    """Yield the options that it runs with, paths made absolute, and no error log of its own."""
    if option(proxy, "-c"):
        yield from ("-c", proxy.config)
    if option(proxy, "-p"):
        yield from ("-p", proxy.prefix + "/")
    if directives := option(proxy, "-g"):
        yield from ("-g", directives)
    numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", proxy.version)
    if numbers and tuple(int(number) for number in numbers.groups()) >= _SINCE_E:
        yield from ("-e", "stderr")


def _folders(proxy: Proxy) -> Iterator[str]:
    """Yield the folders that a test writes to, outer ones first."""
    paths = {*written_files(proxy), *written_folders(proxy, all_built_in=True)}
    paths.add(posixpath.join(proxy.prefix, build_option(proxy.build, "error-log-path") or "logs/error.log"))
    folders = {posixpath.dirname(posixpath.normpath(path)) for path in paths if path.startswith("/")}
    yield from sorted(folders, key=lambda folder: (len(folder), folder))


def _logs(proxy: Proxy) -> tuple[str, ...]:
    """Return the log files that a test opens: those of the configuration, and the one that was built in."""
    built_in = posixpath.join(proxy.prefix, build_option(proxy.build, "error-log-path") or "logs/error.log")
    return tuple(
        dict.fromkeys((*(log.path for log in proxy.logs if log.goes_to == "file" and log.path.startswith("/")), built_in))
    )


def _identity(host: Host, pid: str) -> tuple[int, int]:
    """Return the real user and group of a process: a set-user-id program does not speak for root."""
    status = parse_status(host.read(f"/proc/{pid}/status").decode("utf-8", "replace"))
    try:
        return int(status["Uid"].split()[0]), int(status["Gid"].split()[0])
    except (KeyError, ValueError, IndexError) as error:
        raise HostError(f"/proc/{pid}/status does not tell the user") from error
