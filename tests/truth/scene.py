"""The requests of one log: clients, targets, and the texts of both."""

import ipaddress
from collections.abc import Callable, Iterator
from random import Random
from typing import NamedTuple

from .shape import Shape

NO_TARGET = -1
"""Answered by the gateway itself."""
NOBODY = -2
"""Wanted a target, and none was there to take it."""
BAD = -1
"""In `Row.request`: a request line that nobody could read."""
NOISE = -2
"""In `Row.request`: no request at all."""

BLOCK = 20_000
SYLLABLES = ("ba", "ce", "di", "fo", "gu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo", "zu", "hy")
QUERIES = ("?page=2", "?q=a%20b&sort=asc", "?next=http://example.com/in?a=b", "?id=17&sig=aGk%3D", "?utm=x%22y")
AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "curl/8.5.0",
    "Go-http-client/1.1",
    "python-requests/2.32.3",
    "kube-probe/1.30",
)
ODD_AGENTS = ('we"ird \\agent', "Zürich-Bot/1.0 (käse)", "tab\there", "")
ORDINARY = (200, 200, 200, 200, 200, 200, 200, 200, 201, 204, 301, 302, 304, 304, 401, 404, 404, 429, 500)


class Row(NamedTuple):
    """One event before it is text. Numbers index the scene's texts."""

    at_ms: int
    """The time that the line carries, ms since 1970."""
    client: int
    request: int
    status: int
    size: int
    us: int
    """The whole duration."""
    target: int
    first: int
    """The target that was tried before, or NO_TARGET."""
    first_status: int
    agent: int
    serial: int


class Memo(dict[int, str]):
    """Texts by number, made when first asked for."""

    def __init__(self, make: Callable[[int], str]) -> None:
        super().__init__()
        self.make = make

    def __missing__(self, key: int) -> str:
        text = self[key] = self.make(key)
        return text


class Traits(NamedTuple):
    """What the requests of a format may be like."""

    failing: tuple[int, ...]
    aborted: int | None
    nobody_status: int
    others: tuple[int, ...]
    has_bad: bool
    has_noise: bool
    has_static: bool
    has_attempts: bool
    raw_paths: bool
    clock_ms: int


class Scene:
    """The cast of a log: its clients, requests, targets and agents as plain text, unescaped."""

    def __init__(self, shape: Shape, traits: Traits) -> None:
        self.shape = shape
        self.traits = traits
        self.client = Memo(lambda number: client_text(number, shape.ip_family))
        self.path = Memo(lambda number: path_text(number // 3, traits.raw_paths))
        self.uri = Memo(lambda number: self.path[number] + self.query(number))
        self.request_line = Memo(lambda number: f"{self.method(number)} {self.uri[number]} HTTP/1.1")
        self.targets = [target_text(number, shape.ip_family) for number in range(max(1, shape.targets))]
        self.agents = [*AGENTS, *ODD_AGENTS]
        self.query_pad = ""

    def pad(self, size_bytes: int, *, in_agent: bool) -> None:
        """Makes every line longer by `size_bytes`."""
        text = ("pad" * (size_bytes // 3 + 1))[:size_bytes]
        if in_agent:
            self.agents = [f"{agent} {text[1:]}" if agent else agent for agent in self.agents]
        elif size_bytes > 5:
            self.query_pad = "?pad=" + text[5:]
        self.uri.clear()
        self.request_line.clear()

    def method(self, number: int) -> str:
        """The method of a request: each path has GET and one more."""
        return ("POST", "DELETE", "PUT", "HEAD")[number // 3 % 4] if number % 3 == 2 else "GET"

    def query(self, number: int) -> str:
        """The query of a request, with its question mark, or nothing."""
        if self.query_pad:
            return self.query_pad
        return QUERIES[number // 3 % len(QUERIES)] if number % 3 == 1 else ""

    def blocks(self) -> Iterator[list[Row]]:
        """All rows, in lists of at most BLOCK."""
        rng = Random(self.shape.seed)
        durations = sorted(int(rng.lognormvariate(10.2, 1.1)) for _ in range(8192))
        for begin in range(0, self.shape.lines, BLOCK):
            yield self.block(rng, begin, min(BLOCK, self.shape.lines - begin), durations)

    def block(self, rng: Random, begin: int, count: int, durations: list[int]) -> list[Row]:
        """Rows number `begin` and the following."""
        shape, traits = self.shape, self.traits
        times = self.times(rng, begin, count)
        clients = rng.choices(range(max(1, shape.clients)), k=count)
        paths = rng.choices(range(max(1, shape.paths)), k=count)
        variants = rng.choices((0, 1, 2), (60, 25, 15), k=count)
        statuses = rng.choices(ORDINARY, k=count)
        sizes = rng.choices(range(20, 60_000), k=count)
        spent = rng.choices(durations, k=count)
        targets = rng.choices(range(len(self.targets)), k=count)
        agents = rng.choices(range(len(AGENTS)), k=count)
        dice = [rng.random() for _ in range(count)]
        rows = []
        odd = shape.odd / 2
        for index in range(count):
            row = Row(
                times[index], clients[index], paths[index] * 3 + variants[index], statuses[index], sizes[index],
                spent[index], targets[index], NO_TARGET, 0, agents[index], begin + index,
            )  # fmt: skip
            if dice[index] < shape.failures:
                row = self.failing(rng, row)
            elif rng.random() < 0.1:
                row = self.special(rng, row)
            if shape.attempts > 1 and traits.has_attempts and row.target >= 0 and rng.random() < 0.3:
                row = row._replace(first=(row.target + 1) % len(self.targets), first_status=rng.choice((502, 504, 502, 503)))
            if odd and rng.random() < odd + odd:
                row = self.odd(rng, row)
            if traits.has_noise and rng.random() < shape.noise:
                row = row._replace(request=NOISE, target=NO_TARGET, first=NO_TARGET, status=0)
            rows.append(row)
        return rows

    def times(self, rng: Random, begin: int, count: int) -> list[int]:
        """The times of these rows in ms, rising or not as the shape says."""
        shape = self.shape
        start_ms, span_ms = int(shape.start.timestamp()) * 1000, max(1, shape.span_s * 1000)
        if shape.order == "shuffled":
            return [start_ms + int(rng.random() * span_ms) for _ in range(count)]
        return [start_ms + int((number + rng.random()) * span_ms / shape.lines) for number in range(begin, begin + count)]

    def failing(self, rng: Random, row: Row) -> Row:
        """The same request, failed."""
        traits = self.traits
        aborted = () if traits.aborted is None else (traits.aborted,)
        status = rng.choice((*traits.failing, *aborted))
        if status in aborted:
            return row._replace(status=status, size=0)
        spent = 60_000_000 + row.us % 9000 if status == 504 else row.us % 9000
        nobody = status == traits.nobody_status and rng.random() < 0.25
        return row._replace(status=status, us=spent, size=157, target=NOBODY if nobody else row.target)

    def special(self, rng: Random, row: Row) -> Row:
        """The same request with a rarer status, or without a target."""
        if self.traits.others and rng.random() < 0.2:
            return row._replace(status=rng.choice(self.traits.others))
        return row._replace(target=NO_TARGET) if self.traits.has_static and row.status != 500 else row

    def odd(self, rng: Random, row: Row) -> Row:
        """The same request by an unusual client, or an unreadable one."""
        if self.traits.has_bad and rng.random() < 0.5:
            return row._replace(request=BAD, status=400, us=0, target=NO_TARGET, first=NO_TARGET, size=157)
        return row._replace(agent=len(AGENTS) + rng.randrange(len(ODD_AGENTS)))


def client_text(number: int, family: int) -> str:
    """The address of a client; each number has its own."""
    if family == 6:
        return str(ipaddress.IPv6Address((0x20010DB8 << 96) + ((number % 4096) << 64) + number * 0x1F123BB5 + 1))
    low = number * 0x5BD1E5 + 77 & 0xFFFFFF
    return f"{20 + (number >> 24) % 180}.{low >> 16}.{low >> 8 & 255}.{low & 255}"


def target_text(number: int, family: int) -> str:
    """The address and port of a target."""
    if family == 6:
        return f"[fd00:0:0:5::{number + 1:x}]:8080".replace("fd00:0:0:5", "fd00:aa:bb:5")
    return f"10.{number >> 14}.{number >> 7 & 127}.{(number & 127) + 11}:{8080 + number % 3}"


def path_text(number: int, raw: bool) -> str:
    """A path of words alone, so that nothing in it can be taken for an identifier; some are not plain ASCII."""
    words = []
    rest = number
    while True:
        words.append(SYLLABLES[rest & 15] + SYLLABLES[rest >> 4 & 15] + SYLLABLES[(rest >> 8) + 3 & 15])
        rest >>= 12
        if not rest:
            break
    path = ("/shop", "/api/v2", "/static", "/account")[number % 4] + "/" + "/".join(words)
    if number % 10 == 7:
        return path + "/d%C3%A9j%C3%A0-vu"
    if number % 10 == 9:
        return path + ("/überblick" if raw else "/%C3%BCberblick")
    return path
