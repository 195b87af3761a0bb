"""The proxy's own test of its configuration on disk, such as `nginx -t`, with the running binary and without side effects.

A test may write, which could repair or hide the fault we look for. So root's proxy is tested in a sandbox where everything is
read-only; overlays take its writes and are discarded (`Host.try_out`). Another user's proxy is tested with that user's rights,
and only if all that the test would create exists already. One side effect remains: if nginx is stopped, its test binds its free
ports for a millisecond.
"""

from __future__ import annotations

import posixpath
import time
from collections.abc import Mapping
from functools import partial

import msgspec

from why502.collectors.base import CollectOptions, Found
from why502.gateways.running import Texts, by_kind, decoded, texts_of
from why502.gateways.testing import Tester, tester
from why502.host.base import Host, Sandbox
from why502.machine.attempt import attempt
from why502.machine.process_table import ProcessTable, parse_status
from why502.machine.suppliers import ROOT, supplier_of
from why502.model.errors import HostError, Missing
from why502.model.file_kind import FileKind
from why502.model.proxy import ConfigProblem, ConfigTest, Proxy
from why502.model.snapshot import Gap, Snapshot

SECTION = "proxies"
NEEDS = ("socket_names",)  # a stopped proxy listens for a moment while it is tested: not while we list the listeners
LIMIT_S = 8.0

_TIME_S = 4.0
_TIME_OF_USER_S = 1.5  # for all proxies of one user other than root: if they hang, the others are still tested
SERVERS = 5_000  # for an unchanged configuration; with more servers nginx's own test takes longer than our total time
MOST_CHANGED_BYTES = 40_000  # it is passed to the sandbox in an argument: at most 128 KiB (execve(2))
_PERMISSION = ("(13: Permission denied)", "(1: Operation not permitted)")


def collect(host: Host, known: Snapshot, options: CollectOptions) -> Found[tuple[Proxy, ...]]:
    """Return the proxies with the result of their tests."""
    if not known.proxies or options.offline:
        return Found(None)
    gaps: list[Gap] = []
    tested: dict[int, Proxy] = {}
    until = time.monotonic() + LIMIT_S - 0.5
    spent: dict[int, float] = {}
    for number, proxy in sorted(enumerate(known.proxies), key=lambda item: (item[1].owner_uid != ROOT, item[0])):
        uid, begun = proxy.owner_uid, time.monotonic()
        left_s = min(_TIME_S, until - begun) if uid == ROOT else min(_TIME_OF_USER_S - spent.get(uid, 0.0), until - begun)
        try:
            if left_s <= 0.05:
                raise HostError("the time for configuration tests was used up")
            tested[number] = _tested(host, proxy, left_s)
        except HostError as error:
            name = f"{proxy.kind} process {proxy.pid}" if proxy.pid else proxy.config
            gaps.append(Gap(source="config test", reason=f"{name}: {error.reason}", hint=error.hint))
            tested[number] = proxy
        spent[uid] = spent.get(uid, 0.0) + time.monotonic() - begun
    return Found(tuple(tested[number] for number in range(len(known.proxies))), tuple(gaps))


def _tested(host: Host, proxy: Proxy, timeout_s: float) -> Proxy:
    product = tester(proxy.kind)
    if product is None:
        test = by_kind()[proxy.kind].TEST.format(proxy.config) if proxy.kind in by_kind() else ""
        raise HostError("its own test is not run", f"run `{test}` yourself" if test else "")
    if not proxy.exe or not proxy.files:
        raise HostError("there is no program to test it with" if not proxy.exe else "its configuration cannot be read")
    if proxy.pid and len(proxy.servers) > SERVERS and _is_as_loaded(proxy):
        raise HostError(
            f"it has {len(proxy.servers)} servers and has not changed since it was loaded: its test was skipped",
            _yourself(product),
        )
    if proxy.owner_uid == ROOT:
        _check_suppliers(proxy, product)
    texts = texts_of(host, proxy)
    own = _identity(host, "self")
    user = _identity(host, str(proxy.pid)) if proxy.pid else own
    argv = _arguments(host, proxy, product)
    if not proxy.pid and product.variables(texts):
        raise HostError("its configuration reads variables that it is given at its start", _yourself(product))
    if own[0] == ROOT and proxy.owner_uid == ROOT:
        done = host.try_out(_sandbox(host, proxy, product, texts), proxy.exe, *argv, timeout_s=timeout_s)
    else:
        acting = host.acting_as(proxy.owner_uid)
        _may_run_plainly(acting, proxy, product, texts, own[0], user[0])
        program = f"/proc/{proxy.pid}/exe" if proxy.pid else proxy.exe
        done = acting.run(program, *argv, timeout_s=timeout_s)
    problems = product.problems(done.stderr)
    if done.status == 0:
        return msgspec.structs.replace(proxy, test=ConfigTest.OK)
    if not problems:
        raise HostError(f"its test exited with status {done.status}: {done.stderr.strip()[:200]}", _yourself(product))
    if user[0] != 0 and any(text in problem.message for problem in problems for text in _PERMISSION):
        raise HostError(f"its test as user {user[0]} reports: {problems[0].message}", "run as root")
    known = {(problem.message, str(problem.at)) for problem in problems}
    others = tuple(problem for problem in proxy.problems if (problem.message, str(problem.at)) not in known)
    return msgspec.structs.replace(proxy, test=ConfigTest.FAILED, problems=(*problems, *others))


def _yourself(product: Tester, where: str = "yourself") -> str:
    return f"run `{product.COMMAND}` {where}"


def try_change(host: Host, proxy: Proxy, contents: Mapping[str, bytes], timeout_s: float = _TIME_S) -> tuple[ConfigProblem, ...]:
    """Return the errors that the proxy's own test finds if these files had these contents; () if it passes.

    Nothing is written: the files are changed only in the sandbox. Raises HostError if that cannot be tested.
    """
    product = tester(proxy.kind)
    if product is None or not proxy.exe or not proxy.files:
        raise HostError(f"the test of {proxy.kind} is not run on a copy")
    if _identity(host, "self")[0] != ROOT or proxy.owner_uid != ROOT:
        raise HostError("only root can test a changed copy", "run as root")
    if sum(map(len, contents.values())) > MOST_CHANGED_BYTES:
        raise HostError("the changed files are too large to be tested on a copy")
    _check_suppliers(proxy, product)
    sandbox = _sandbox(
        host, proxy, product, [*texts_of(host, proxy), *((path, decoded(text)) for path, text in contents.items())]
    )
    directories = dict.fromkeys((*sandbox.directories, *(posixpath.dirname(path) for path in contents)))
    changed = msgspec.structs.replace(
        sandbox,
        directories=tuple(sorted(directories, key=lambda directory: (len(directory), directory))),
        contents={path: content.decode("latin-1") for path, content in contents.items()},
    )
    argv = _arguments(host, proxy, product)
    done = host.try_out(changed, proxy.exe, *argv, timeout_s=timeout_s)
    problems = product.problems(done.stderr)
    if done.status and not problems:
        raise HostError(f"its test exited with status {done.status}: {done.stderr.strip()[:200]}")
    return problems if done.status else ()


def _is_as_loaded(proxy: Proxy) -> bool:
    """Return whether the files are older than the running configuration, so that a test would show nothing new."""
    return proxy.loaded_at is not None and proxy.changed_at is not None and proxy.changed_at < proxy.loaded_at


def _sandbox(host: Host, proxy: Proxy, product: Tester, texts: Texts) -> Sandbox:
    """Return the sandbox for testing root's proxy. Raises HostError if the test would run more than root's own configuration.

    Paths named in root's configuration count as root's. If others can change a file, its content is theirs, and code in it
    would run as root.
    """
    if code := next((match for _, text in texts if (match := product.RUNS_CODE.search(text))), None):
        raise HostError(f"its test would run the code of {code[1]}", _yourself(product))
    seen = host.inside(proxy.root) if proxy.root else host
    for path in product.modules(proxy, texts):
        if supplier_of(seen, path) != ROOT and not _is_missing(seen, path):  # the test itself reports missing files
            raise HostError(f"the module {path} could be changed by users other than root", _yourself(product))
    if proxy.pid and proxy.root and not _is_our_root(host, proxy.pid, proxy.root, proxy.owner_uid):
        raise HostError(
            "it runs in a container: no program from another root file system is run from here",
            _yourself(product, "in the container"),
        )
    return Sandbox(
        program=proxy.exe,
        pid=proxy.pid or 0,
        enters_mounts=bool(proxy.root),
        enters_network=bool(proxy.network),
        directories=tuple(product.directories(proxy)),
        files=tuple(product.files(proxy)),
        environment=_environment(host, proxy, product.variables(texts)),
    )


def _arguments(host: Host, proxy: Proxy, product: Tester) -> tuple[str, ...]:
    return product.arguments(proxy, ProcessTable(host).process(proxy.pid) if proxy.pid else None)


def _check_suppliers(proxy: Proxy, product: Tester) -> None:
    """Raise HostError if root's configuration has files that others can change."""
    if theirs := next((file for file in proxy.files if file.owner_uid != ROOT and not file.is_live), None):
        raise HostError(f"{theirs.path} can be changed by users other than root, so it is not tested as root", _yourself(product))


def _environment(host: Host, proxy: Proxy, names: frozenset[str]) -> dict[str, str]:
    """Return the variables that the configuration reads, from the environment of the running process. Raises HostError."""
    if not names or not proxy.pid:
        return {}
    words = host.read(f"/proc/{proxy.pid}/environ").decode("utf-8", "surrogateescape").split("\0")
    return {name: value for name, _, value in (word.partition("=") for word in words) if name in names}


def _is_missing(seen: Host, path: str) -> bool:
    """Return whether a file is missing, in a directory where only root can create it."""
    try:
        seen.stat(path)
    except Missing:
        return supplier_of(seen, posixpath.dirname(path)) == ROOT
    except HostError:
        return False
    return False


def _is_our_root(host: Host, pid: int, root: str, uid: int) -> bool:
    """Return whether root created another mount namespace over our own root directory, as systemd's PrivateTmp= does."""
    if uid != 0 or root != f"/proc/{pid}/root" or not ProcessTable(host).is_of_our_users(pid):
        return False
    ours, its = attempt(partial(host.stat, "/")), attempt(partial(host.stat, f"{root}/"))
    return ours is not None and its is not None and (ours.device, ours.inode) == (its.device, its.inode)


def _may_run_plainly(host: Host, proxy: Proxy, product: Tester, texts: Texts, own: int, user: int) -> None:
    """Raise HostError unless the test runs as the proxy's own user, in our own root, and would write nothing."""
    if not proxy.pid and proxy.owner_uid not in (ROOT, own):
        raise HostError(
            f"its configuration belongs to user {proxy.owner_uid}, and no process runs it", _yourself(product, "as its user")
        )
    if proxy.root or proxy.network or own not in (ROOT, user) or (not proxy.pid and proxy.prefix.startswith("/usr")):
        raise HostError("only its own user or root can test it", "run as root")
    if product.variables(texts):
        raise HostError("its configuration reads variables of its environment", _yourself(product))
    if path := _written(host, proxy, product):
        raise HostError(f"its test would write to {path}", _yourself(product))


def _written(host: Host, proxy: Proxy, product: Tester) -> str:
    """Return a path that a test would create, or whose owner it would change; "" if none. Raises HostError."""
    if proxy.root or proxy.network:
        return "another namespace"
    workers = {worker.uid for worker in proxy.workers if worker.uid != 0}
    for path in product.made(proxy):
        try:
            stat = host.stat(path)
        except Missing:
            return path
        if stat.kind is FileKind.DIRECTORY and stat.uid not in workers:
            return path
    return ""


def _identity(host: Host, pid: str) -> tuple[int, int]:
    """Return the real user and group of a process: a set-user-id program is not trusted as root's."""
    status = parse_status(host.read(f"/proc/{pid}/status").decode("utf-8", "replace"))
    try:
        return int(status["Uid"].split()[0]), int(status["Gid"].split()[0])
    except (KeyError, ValueError, IndexError) as error:
        raise HostError(f"/proc/{pid}/status does not name the user") from error
