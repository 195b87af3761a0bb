"""What collectors put around a line: containers, the journal, syslog, kubectl and docker compose.

The wrapper's time is a few ms after the server's. `cri` and `rfc5424` write it in another zone, with its offset.
"""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

from .product import go_json_text
from .scene import Memo

Wrap = Callable[[str, int], str]
"""The message and the wrapper's time in ms → one or more lines."""
EAST = timezone(timedelta(hours=2))
HOSTNAME = "web-1"
UNPRINTABLE = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\ud800-\udfff]")


def wall(pattern: str, zone: timezone) -> Memo:
    """Texts of seconds by a strftime pattern."""
    return Memo(lambda second: datetime.fromtimestamp(second, zone).strftime(pattern))


def readable(text: str) -> str:
    """The text with replacement characters for invalid UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def plain(tag: str) -> Wrap:
    """Nothing around it."""
    return lambda text, at_ms: text


def docker_json(tag: str) -> Wrap:
    """A line of Docker's json-file driver."""
    times = wall("%Y-%m-%dT%H:%M:%S", UTC)

    def wrap(text: str, at_ms: int) -> str:
        at = f"{times[at_ms // 1000]}.{at_ms % 1000:03d}{at_ms * 7919 % 1000000:06d}".rstrip("0")
        return f'{{"log":{go_json_text(readable(text) + chr(10))},"stream":"stdout","time":"{at}Z"}}'

    return wrap


def cri(tag: str) -> Wrap:
    """Lines of containerd; one message in twenty comes in two parts."""
    times = wall("%Y-%m-%dT%H:%M:%S", EAST)

    def wrap(text: str, at_ms: int) -> str:
        at = f"{times[at_ms // 1000]}.{at_ms % 1000:03d}{at_ms * 7919 % 1000000:06d}+02:00"
        if at_ms % 20:
            return f"{at} stdout F {text}"
        half = len(text) // 2
        return f"{at} stdout P {text[:half]}\n{at} stdout F {text[half:]}"

    return wrap


def is_printable(text: str) -> bool:
    """Whether journalctl writes the message as text and not as numbers."""
    return UNPRINTABLE.search(text) is None


def journal_json(tag: str) -> Wrap:
    """An entry as `journalctl -o json` prints it; a message with unprintable bytes is an array of numbers."""

    def wrap(text: str, at_ms: int) -> str:
        if is_printable(text):
            message = json.dumps(text, ensure_ascii=False)
        else:
            message = json.dumps(list(text.encode("utf-8", "surrogateescape")))
        return (
            f'{{"__CURSOR":"s=0a1b2c;i={at_ms:x}","__REALTIME_TIMESTAMP":"{at_ms}417","__MONOTONIC_TIMESTAMP":"{at_ms % 10**9}417",'
            f'"_BOOT_ID":"4c1e6a3f0b2d4f6e8a9c0d1e2f3a4b5c","PRIORITY":"6","SYSLOG_IDENTIFIER":"{tag}","_TRANSPORT":"stdout","_PID":"1234",'
            f'"_SYSTEMD_UNIT":"{tag}.service","_HOSTNAME":"{HOSTNAME}","MESSAGE":{message}}}'
        )

    return wrap


def journal_short(tag: str) -> Wrap:
    """A line as journalctl prints it by default, UTC."""
    times = wall("%b %d %H:%M:%S", UTC)
    return lambda text, at_ms: f"{times[at_ms // 1000]} {HOSTNAME} {tag}[1234]: {text}"


def spaced_day(moment: str) -> str:
    """`Mar  4` instead of `Mar 04`, as RFC 3164 demands."""
    return moment[:4] + moment[4:6].replace("0", " ", 1) + moment[6:] if moment[4] == "0" else moment


def rfc3164(tag: str) -> Wrap:
    """A line of a syslog server's file, without the priority, UTC."""
    times = wall("%b %d %H:%M:%S", UTC)
    return lambda text, at_ms: f"{spaced_day(times[at_ms // 1000])} {HOSTNAME} {tag}[1234]: {text}"


def rfc3164_priority(tag: str) -> Wrap:
    """A syslog message as nginx sends it: with priority, without process number."""
    times = wall("%b %d %H:%M:%S", UTC)
    return lambda text, at_ms: f"<190>{spaced_day(times[at_ms // 1000])} {HOSTNAME} {tag}: {text}"


def rfc5424(tag: str) -> Wrap:
    """A syslog message of the newer form."""
    times = wall("%Y-%m-%dT%H:%M:%S", EAST)
    return lambda text, at_ms: f"<190>1 {times[at_ms // 1000]}.{at_ms % 1000:03d}417+02:00 {HOSTNAME} {tag} 1234 - - {text}"


def kubectl(tag: str) -> Wrap:
    """A line of `kubectl logs --timestamps`."""
    times = wall("%Y-%m-%dT%H:%M:%S", UTC)
    return lambda text, at_ms: f"{times[at_ms // 1000]}.{at_ms % 1000:03d}{at_ms * 7919 % 1000000:06d}Z {text}"


def compose(tag: str) -> Wrap:
    """A line of `docker compose logs`."""
    return lambda text, at_ms: f"web-1  | {text}"


WRAPPERS: dict[str, Callable[[str], Wrap]] = {
    "plain": plain,
    "docker-json": docker_json,
    "cri": cri,
    "journal-json": journal_json,
    "journal-short": journal_short,
    "rfc3164": rfc3164,
    "rfc3164-priority": rfc3164_priority,
    "rfc5424": rfc5424,
    "kubectl": kubectl,
    "compose": compose,
}
