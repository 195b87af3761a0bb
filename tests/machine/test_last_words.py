"""Which lines of a program that ended tell why."""

from __future__ import annotations

import pytest

from why502.machine.last_words import last_words

MAPS = [
    "7fffeb334000-7fffebb33000 rw-p 00000000 00:00 0    [stack]",
    "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0  [vsyscall]",
]
SIGNAL = "puma.service: Main process exited, code=killed, status=11/SEGV"


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["[BUG] Segmentation fault at 0x0000000000000000", *MAPS], "[BUG] Segmentation fault at 0x0000000000000000"),
        (["Error: Cannot find module 'express'", "    at Module._load (node:internal:1)"], "Error: Cannot find module 'express'"),
        (MAPS, ""),
        (["Use Ctrl-C to stop", "puma.service: Main process exited, code=killed, status=11/SEGV"], SIGNAL),
        (["no key is set", "puma.service: Main process exited, code=exited, status=1/FAILURE"], "no key is set"),
    ],
)
def test_the_reason_comes_last(lines: list[str], reason: str) -> None:
    assert (last_words(lines) or ("",))[-1] == reason
