"""What every module of a product's formats offers, and the texts of times and numbers that they share."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import NamedTuple

from .scene import NO_TARGET, NOBODY, Memo, Row, Scene, Traits

LineOf = Callable[[Row], str]
HOST = "www.example.com"


class Lines(NamedTuple):
    """How a row becomes text. A text of two lines is two messages."""

    request: LineOf
    bad: LineOf | None = None
    noise: LineOf | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One log format of one product, and the facts its lines contain."""

    name: str
    tag: str
    """The program's name in a syslog header or a journal entry."""
    prepare: Callable[[Scene], Lines]
    kind: str = "access"
    """`access`; `errors` of requests; `connections` without a status; `events` of targets."""
    failing: tuple[int, ...] = (502, 503, 504)
    aborted: int | None = None
    """The status that is logged for a request which the client gave up; None: none of its own."""
    others: tuple[int, ...] = ()
    step_us: int = 0
    """The resolution of the request's duration, 0 if the format has none."""
    untimed: frozenset[int] = frozenset()
    """Statuses whose lines have no duration."""
    clock_ms: int = 1
    """The resolution of the line's time."""
    stamps_start: bool = False
    """The line's time is the request's start, so the line is written one duration later."""
    has_own_time: bool = True
    has_zone: bool = True
    """The line's time has an offset, or is always UTC."""
    has_client: bool = True
    has_bad_client: bool = True
    has_route: bool = True
    has_agent: bool = True
    has_attempts: bool = False
    has_static: bool = False
    raw_paths: bool = False
    """A path may hold bytes that are not ASCII: the product accepts such requests."""
    target: Callable[[str], str] | None = None
    """The logged text of a target by its `host:port`; None if the format has no target."""
    nobody: str | None = None
    """What is logged for a target when none was available; None: nothing."""
    nobody_status: int = 0
    attempt_status: Callable[[int], int] = int
    """The target's own status in the line by that of the request; 0: none."""
    kind_of: Callable[[Row], str] | None = None
    header: tuple[str, ...] = ()
    log_format: str | None = None
    """The text of nginx's `log_format` or Apache's `LogFormat` that makes these lines, for readers that need it."""
    escape: str = "default"
    """nginx's `escape=`."""

    def traits(self, has_bad: bool, has_noise: bool) -> Traits:
        """What rows of this format may be."""
        return Traits(
            failing=self.failing, aborted=self.aborted, nobody_status=self.nobody_status, others=self.others, has_bad=has_bad,
            has_noise=has_noise, has_static=self.has_static, has_attempts=self.has_attempts, raw_paths=self.raw_paths,
            clock_ms=self.clock_ms,
        )  # fmt: skip


def same(address: str) -> str:
    """The target as it is."""
    return address


def host_of(address: str) -> str:
    """The target without its port and brackets."""
    return address.rpartition(":")[0].strip("[]")


def stamps(scene: Scene, pattern: str) -> Memo:
    """Texts of whole seconds since 1970 by a strftime pattern, in the server's zone."""
    zone = timezone(timedelta(minutes=scene.shape.zone_min))
    return Memo(lambda second: datetime.fromtimestamp(second, zone).strftime(pattern))


def clf_times(scene: Scene) -> Memo:
    """`04/Mar/2026:05:06:07 +0000` by second."""
    return stamps(scene, "%d/%b/%Y:%H:%M:%S %z")


def utc_times() -> Memo:
    """`2026-03-04T05:06:07` by second, UTC."""
    return Memo(lambda second: datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S"))


def offset_times(scene: Scene) -> Memo:
    """`2026-03-04T05:06:07+00:00` by second."""
    zone = timezone(timedelta(minutes=scene.shape.zone_min))
    return Memo(lambda second: datetime.fromtimestamp(second, zone).isoformat())


def seconds_text(us: int) -> str:
    """`1.234`, the last digits cut off."""
    return f"{us // 1_000_000}.{us // 1000 % 1000:03d}"


def json_text(text: str) -> str:
    """A JSON string with its quotes, letters that are not ASCII as they are."""
    return json.dumps(text, ensure_ascii=False)


def go_json_text(text: str) -> str:
    """The same as encoding/json of Go writes it: fit for HTML."""
    out = json_text(text)
    for sign in "<>&\u2028\u2029":
        out = out.replace(sign, f"\\u{ord(sign):04x}")
    return out


def escaped(scene: Scene, escape: Callable[[str], str]) -> tuple[Memo, list[str]]:
    """The request lines and the agents as a product escapes them; an empty agent is "-"."""
    return Memo(lambda number: escape(scene.request_line[number])), [escape(agent) or "-" for agent in scene.agents]


def port_of(row: Row) -> int:
    """A port of the client."""
    return 1024 + row.serial * 7919 % 60000


def unique(row: Row) -> str:
    """A request identifier of 32 hex digits."""
    return f"{(row.serial + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 & (1 << 128) - 1:032x}"


def uuid_of(row: Row) -> str:
    """The same as UUIDs are written."""
    text = unique(row)
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def target_of(texts: list[str], nobody: str, none: str, number: int) -> str:
    """The text of a target by its number in a row."""
    if number >= 0:
        return texts[number]
    return nobody if number == NOBODY else none


def target_texts(texts: list[str], *, nobody: str, none: str) -> Callable[[int], str]:
    """The texts of targets by number; `nobody` when none was there, `none` when none was wanted."""
    return partial(target_of, texts, nobody, none)


def wanted_target(row: Row) -> bool:
    """Whether the request went, or should have gone, to a target."""
    return row.target != NO_TARGET
