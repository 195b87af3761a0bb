"""Written logs of every format, some lines changed at random, which the compiled reader and Python must count the same."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from truth import COMBINATIONS, FORMATS, Shape, write

from tests.logs.scan.summing import count, plain
from why502.logs.scan.line_format import Form, find, of_format
from why502.logs.scan.work import ScanQuery

LINES = 300
SOUND = 70  # lines at the begin that stay as they are: by them the format is known, and the reader's layout compared
GIVEN = frozenset({"apache-us", "apache-s", "apache-ms", "apache-balancer"})
_PIECES = (
    *(
        b"",
        b" ",
        b"  ",
        b",",
        b", ",
        b" : ",
        b":",
        b'"',
        b'""',
        b"\\",
        b'\\"',
        b"\\x41",
        b"\\u0041",
        b"\r",
        b"-",
        b"--",
        b".",
        b"/",
        b"//",
    ),
    *(
        b"0",
        b"9",
        b"00000",
        b"123456",
        b"-1",
        b"+",
        b"*",
        b"#",
        b"]",
        b"[",
        b"{",
        b"}",
        b"<",
        b"<NOSRV>",
        b";",
        b"?",
        b"%",
        b"@",
        b"\t",
    ),
    *(
        b"\0",
        b"\xff",
        b"\xc3\xbc",
        b"null",
        b"true",
        b"e9",
        b"http://x/",
        b"HTTP://x/",
        b"https://",
        b"unix:/run/a.sock",
        b"x" * 70,
    ),
    *(b"Z", b"+01:00", b".9999999", b"503", b"499", b"200", b"GET", b"get", b", client: ", b', upstream: "', b"->"),
)


def changed(line: bytes, other: bytes, rng: random.Random) -> bytes:
    """Return a line with one to three changes; `other` is one that pieces may be taken of."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at = rng.randrange(len(line) + 1)
        size = rng.choice((0, 0, 1, 1, 2, 3, 8, 20))
        kind = rng.randrange(4)
        if kind == 0 and other:
            begin = rng.randrange(len(other))
            piece = other[begin : begin + rng.choice((1, 2, 4, 8, 16, 40))]
        elif kind == 1:
            piece = bytes([rng.randrange(256)])
        else:
            piece = rng.choice(_PIECES)
        line = line[:at] + piece.replace(b"\n", b" ") + line[at + size :]
    return line


_ASKED = re.compile(rb"(?<=[ \"\t/])/[\w%.-]+/[\w%./-]+")
_IN_PATHS = (
    *(
        b"",
        b"%41",
        b";",
        b"?",
        b"??a=b",
        b"#",
        b"//",
        b"/",
        b"0",
        b"123456",
        b"0123456789abcdef",
        b"deadbeef",
        b"-",
        b".",
        b":",
        b",",
    ),
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b"(",
        b"*",
        b"=",
        b"http://x/",
        b"+",
        b"~",
        b"|",
        b"@",
        b"$",
        b"\xc3\xbc",
        b"a" * 70,
        b"/1/22/333/4/5/6/7/8/9",
    ),
)


def asked_oddly(line: bytes, _other: bytes, rng: random.Random) -> bytes:
    """Return a line with a change in the path that a client asked for, as he may ask."""
    match = _ASKED.search(line)
    if match is None:
        return line
    at, size = rng.randrange(match.start() + 1, match.end()), rng.choice((0, 0, 1, 3))
    return line[:at] + rng.choice(_IN_PATHS) + line[min(at + size, match.end()) :]


def differing(
    name: str,
    wrapper: str,
    seed: int,
    path: Path,
    *,
    is_exact: bool = False,
    change: Callable[[bytes, bytes, random.Random], bytes] = changed,
) -> Iterator[str]:
    """Yield what the two readers count differently of one log; `path` is where it is written."""
    rng = random.Random(f"{name} {wrapper} {seed}")
    write(path, Shape(format=name, wrapper=wrapper, lines=LINES, seed=seed + 1, failures=0.3, odd=0.1, noise=0.1, attempts=2))
    lines = path.read_bytes().split(b"\n")[:-1]
    form = of_format(FORMATS[name].log_format or "") if name in GIVEN else found(path)
    for number in range(SOUND, len(lines)):
        if rng.random() < 0.5:
            lines[number] = change(lines[number], rng.choice(lines), rng)
    path.write_bytes(b"\n".join(lines) + b"\n")
    slow, fast = (plain(count(path, form, ScanQuery(is_exact=is_exact, is_fast=is_fast))) for is_fast in (False, True))
    slow["fields"] = fast["fields"]
    for key, value in slow.items():
        if value != fast[key]:
            yield f"{name}, {wrapper}, seed {seed}: {key}: {shown(value, fast[key])}"


def found(path: Path) -> Form:
    """Return the form of the log."""
    with path.open("rb") as file:
        return find(b"".join(islice(file, SOUND)))


def shown(slow: object, fast: object) -> str:
    """Return where two values differ."""
    if isinstance(slow, dict) and isinstance(fast, dict):
        odd = sorted((key for key in slow.keys() | fast.keys() if slow.get(key) != fast.get(key)), key=str)
        return "; ".join(f"{key}: Python {slow.get(key)}, compiled {fast.get(key)}" for key in odd[:3])
    if isinstance(slow, tuple) and isinstance(fast, tuple):
        return "; ".join(shown(one, other) for one, other in zip(slow, fast, strict=True) if one != other)
    return f"Python {slow}, compiled {fast}"


CASES = [(name, wrapper) for name, wrappers in COMBINATIONS.items() for wrapper in dict.fromkeys((wrappers[0], wrappers[-1]))]
