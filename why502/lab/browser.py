"""A fault, `why502 watch` and `why502 serve` together: a newcomer sees a real incident in a browser.

`why502 serve` runs within the scene, whose store nobody else sees, on a socket that listens outside of it.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from why502.lab.fault import Fault
from why502.lab.room import door, enter
from why502.serve.service import listen, serve
from why502.serve.settings import Settings


def show(fault: Fault, where: tuple[str, int] | Path, say: Callable[[str], None]) -> int:
    """Break a scene and serve its incidents until Ctrl-C. Return the exit status. Raises Why502Error."""
    listener = listen(where)
    with listener, enter(fault, f"--web={listener.fileno()}", stdin=subprocess.PIPE, pass_fds=(listener.fileno(),)) as process:
        if command := door(process):
            say(f"To repair it, from another terminal: {command} why502 fix --apply")
        return process.wait()


def server(descriptor: int, store: Path) -> subprocess.Popen[bytes]:
    """Start `why502 serve` on a socket that listens already, for a store that need not be there yet."""
    argv = [sys.executable, "-m", __name__, str(descriptor), str(store)]
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, pass_fds=(descriptor,))


def main() -> None:
    """Serve: the descriptor of the socket, and the store."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    where = listener.getsockname()
    address = (where[0], where[1]) if isinstance(where, tuple) else Path(where)

    def ready(url: str) -> None:
        sys.stderr.write(f"Open {url} in a browser: the incident is there within a minute. Ctrl-C ends everything.\n")

    with suppress(KeyboardInterrupt):
        serve(Settings(store=Path(sys.argv[2]), listen=address, names=("the lab",)), ready, listener)


if __name__ == "__main__":
    main()
