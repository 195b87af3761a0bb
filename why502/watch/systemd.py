"""Messages to systemd about the state of the service (sd_notify(3)): one datagram to the socket named by $NOTIFY_SOCKET."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping

READY = "READY=1"
STOPPING = "STOPPING=1"
WATCHDOG = "WATCHDOG=1"


def reloading() -> str:
    """Return the message that settings are read again; READY must follow (sd_notify(3) wants the monotonic time)."""
    return f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"


def starting(timeout_s: float) -> str:
    """Return the message that the start takes that much longer."""
    return f"EXTEND_TIMEOUT_USEC={timeout_s * 1e6:.0f}"


def status(text: str) -> str:
    """Return the message with one line about the state, as `systemctl status` shows it."""
    return f"STATUS={text}".replace("\n", " ")


def notify(*messages: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Send messages; return whether systemd got them. Without systemd nothing is sent."""
    address = environment.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return False
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.setblocking(False)
        channel.connect("\0" + address[1:] if address[0] == "@" else address)
        channel.send("\n".join(messages).encode())
        return True
    return False


def watchdog_s(environment: Mapping[str, str] = os.environ) -> float | None:
    """Return after how many seconds without WATCHDOG=1 systemd ends this process; None if it does not
    (sd_watchdog_enabled(3)).
    """
    try:
        microseconds = int(environment.get("WATCHDOG_USEC", ""))
    except ValueError:
        return None
    is_ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return microseconds / 1e6 if is_ours and microseconds > 0 else None
