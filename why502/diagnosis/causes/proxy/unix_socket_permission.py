"""The proxy's worker user cannot write to the unix socket or traverse one of its directories.

connect() to a unix socket needs write permission on the socket and search permission on every directory of its path. Otherwise it
fails with EACCES, and nginx answers 502 immediately. The user of the workers counts, not the master process, which runs as root.

## Do not confuse with
- `selinux-denied`, `apparmor-denied`: the file modes are right, but the security policy denies access.

## Confirm
- Check `namei -l PATH` and `sudo -u www-data test -w PATH`.

## Fix
- Give the socket a group that the worker's user belongs to, and mode 0660 (PHP-FPM: listen.owner, listen.group, listen.mode).
  Give that user search permission (x) on its directories. Do not use 0777.

## References
- https://man7.org/linux/man-pages/man7/unix.7.html (Pathname socket ownership and permissions)
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.backends.php_fpm.config import edits
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.file_kind import FileKind
from why502.model.finding import FAIR, PROOF, STRONG, Evidence, Layer, refutes, supports
from why502.model.logs import Symptom
from why502.model.remedy import Remedy, Run
from why502.model.target import Transport
from why502.remedies.changes import test_php


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if case.target is None or (
        not case.seen(Symptom.CONNECT_DENIED) and not (case.socket_path and case.socket_path.is_reachable is False)
    ):
        return
    if not case.target.is_unix:
        yield refutes("the target is not a unix socket", "", PROOF)
        return
    yield supports("for a unix socket the reason is nearly always its mode or that of a directory", "", FAIR)
    path = case.socket_path
    if path and path.is_reachable is False:
        step = next((step for step in path.steps if step.path == path.blocked_at), None)
        modes = f" (mode {step.mode}, {step.owner}:{step.group})" if step else ""
        yield supports(
            f"user {path.user} has no access to {path.blocked_at or path.path}{modes}",
            f"stat {path.blocked_at or path.path}",
            PROOF,
        )
    elif path and path.is_reachable and case.answers_now is not True:
        yield refutes(f"the modes allow user {path.user}", f"namei -l {path.path}", STRONG)


def summarize(case: Case) -> str:
    """Return the finding in one sentence."""
    path = case.socket_path
    if path is None or path.is_reachable is not False:
        return ""
    blocked = path.blocked_at or path.path
    step = next((step for step in path.steps if step.path == blocked), None)
    modes = f" (mode {step.mode}, {step.owner}:{step.group})" if step else ""
    way = "" if blocked == path.path else f", on the way to {path.path}"
    return f"user {path.user}, the user of the proxy's workers, has no access to {blocked}{modes}{way}"


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the remedies: the application's own setting if it is known, else access for the worker's user by group and mode."""
    path = case.socket_path
    if path is None or path.is_reachable is not False:
        return
    step = next((step for step in path.steps if step.path == path.blocked_at), None)
    if case.pool is not None:
        pool, user = case.pool, path.user
        wanted = {"listen.owner": user, "listen.mode": "0660"}
        changes, test = edits(pool, wanted), test_php(case, pool)
        # A reload keeps the socket (fpm_sockets_get_listening_socket). The remedy changes its mode directly,
        # so nothing is restarted.
        now = (Run(argv=("chown", user, path.path)), Run(argv=("chmod", "0660", path.path)))
        yield Remedy(
            message=f"set {', '.join(f'{name} = {value}' for name, value in wanted.items())} in {pool.file}, and chown the "
            f"existing socket to {user}",
            steps=(*changes, *test, *now) if test and changes and not pool.acl_users else (),
        )
    elif step is not None and step.kind is FileKind.SOCKET:
        yield Remedy(
            message=f"make the application create its socket with the group of {path.user} and mode 0660; until it restarts, "
            "apply now:",
            steps=(
                Run(argv=("chgrp", path.user, step.path), undo=("chgrp", step.group, step.path)),
                Run(argv=("chmod", "g+rw", step.path), undo=("chmod", step.mode, step.path)),
            ),
        )
    elif step is not None:
        yield Remedy(
            message=f"let {path.user} pass through {step.path} (search permission only)",
            steps=(
                Run(argv=("setfacl", "-m", f"u:{path.user}:x", step.path), undo=("setfacl", "-x", f"u:{path.user}", step.path)),
            ),
        )
        # If access lists are not available: no setfacl(1), or a file system without them.
        who, words = ("g", f"group {step.group}") if step.group == path.user else ("o", "every user")
        yield Remedy(
            message=f"let {words} pass through {step.path} (search permission only), where access lists are not available",
            steps=(Run(argv=("chmod", f"{who}+x", step.path), undo=("chmod", step.mode, step.path)),),
        )


CAUSE = Cause(
    id="unix-socket-permission",
    layer=Layer.PROXY,
    transport=Transport.UNIX,
    message="the proxy's worker user cannot write to the unix socket or traverse one of its directories",
    symptoms={Symptom.CONNECT_DENIED: FAIR},
    examine=examine,
    summarize=summarize,
    remedies=remedies,
)
