"""Messages that no rule knows are counted by their wording."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from scan.summing import reported

from why502.logs.scan import messages
from why502.logs.scan.counts import Counts
from why502.logs.scan.work import ScanQuery

PAYMENT = "2026-03-04 05:{:02}:07,123 ERROR shop.payments Payment {} refused by provider acme: card '{}' invalid"


@pytest.mark.parametrize(
    ("line", "wording"),
    [
        (PAYMENT.format(6, 8123, "x y"), "ERROR shop.payments Payment * refused by provider acme: card * invalid"),
        ('[04/Mar/2026 05:06:07] FATAL cannot open "/srv/a b" (2)', "FATAL cannot open * (*)"),
        ("could not reach 10.0.0.7:6379 in /srv/app/redis.py", "could not reach * in *"),
        ("level=error msg=deadlock id=8f14e45f-ceea-467f-a8d2-1c2d3e4f5a6b", "level=error msg=deadlock id=*"),
        ("don't panic, it's 5 o'clock", "don't panic, it's * o'clock"),
        ("java.lang.IllegalStateException: pool is empty", "java.lang.IllegalStateException: pool is empty"),
    ],
)
def test_what_varies_is_cut_out(line: str, wording: str) -> None:
    assert messages.wording(None, line) == wording


@pytest.mark.parametrize(
    "line",
    ["2026-03-04 05:06:08 INFO shop 0 errors found", "payment 7 done", "", "    raise KeyError('x')", "mirror, terror"],
)
def test_what_does_not_sound_like_an_error_is_left(line: str) -> None:
    assert messages.wording(None, line) is None


def test_secrets_are_not_part_of_a_wording() -> None:
    found = messages.wording(None, "ERROR login failed for postgres://shop:hunter2@db/shop")
    assert found is not None
    assert "hunter2" not in found


def test_an_unknown_log_tells_its_errors_by_wording(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    lines = [PAYMENT.format(number, number, "x") for number in range(10)] + ["2026-03-04 05:20:07,123 INFO shop started"] * 5
    path.write_text("\n".join(lines) + "\n")
    (found,) = reported(path, ask=ScanQuery()).wordings
    assert (found.count, found.text) == (10, "ERROR shop.payments Payment * refused by provider acme: card * invalid")
    assert found.first is not None
    assert found.last is not None
    assert (f"{found.first:%H:%M}", f"{found.last:%H:%M}") == ("05:00", "05:09")
    assert found.sample.endswith("card 'x' invalid")


def test_any_order_gives_the_same_wordings() -> None:
    said = [(f"w{number % 7}", 1_770_000_000 + 61 * number, (number, 0)) for number in range(50)]
    whole = Counts()
    for text, at, order in said:
        whole.add_wording(text, at, order, "a.log", text)
    shuffled = random.Random(1).sample(said, len(said))
    parts = [Counts(), Counts(), Counts()]
    for number, (text, at, order) in enumerate(shuffled):
        parts[number % 3].add_wording(text, at, order, "a.log", text)
    total = Counts()
    for part in parts:
        total.merge(part)
    assert {text: (heard.order, heard.minutes) for text, heard in total.wordings.items()} == {
        text: (heard.order, heard.minutes) for text, heard in whole.wordings.items()
    }


def test_wordings_are_bounded() -> None:
    counts = Counts()
    for number in range(5000):
        counts.add_wording("".join(chr(97 + int(digit)) for digit in str(number)), None, (0, number), "a.log", "x")
    assert len(counts.wordings) <= 2001
    assert sum(heard.minutes.total() for heard in counts.wordings.values()) == 5000
