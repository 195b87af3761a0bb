"""The corpus of secrets and look-alikes: how many are masked, how many look-alikes are kept, and that docs/redaction.md is
current.
"""

from __future__ import annotations

from pathlib import Path

import every
from redaction_corpus import Item, read

from why502.redaction import in_place, redact, redact_lines

SEEDS = range(2)
SPELLINGS = [item for seed in SEEDS for item in read("secrets.txt", seed=seed)]
HARMLESS = [item for seed in SEEDS for item in read("harmless.txt", seed=seed)]


def test_the_corpus_is_as_large_as_promised() -> None:
    assert len({item.where for item in SPELLINGS}) >= 300
    assert len({item.where for item in HARMLESS}) >= 300


@every.of(SPELLINGS, lambda item: item.where)
def test_no_secret_is_left(item: Item) -> None:
    shown = redact(item.text)
    assert item.secrets
    assert not item.leaks(shown), shown
    assert redact(shown) == shown


@every.of(SPELLINGS, lambda item: item.where)
def test_no_secret_is_left_in_place_and_no_byte_moves(item: Item) -> None:
    kept = in_place(item.text)
    assert not item.leaks(kept), kept
    assert len(kept.encode()) == len(item.text.encode())
    assert [len(line) for line in kept.split("\n")] == [len(line) for line in item.text.split("\n")]


@every.of([item for item in SPELLINGS if "\n" not in item.text], lambda item: item.where)
def test_many_lines_are_redacted_like_single_ones(item: Item) -> None:
    shown = redact_lines(f"plain\n{item.text}\nplain")
    assert not item.leaks(shown), shown


@every.of(HARMLESS, lambda item: item.where)
def test_text_without_secrets_is_kept(item: Item) -> None:
    assert redact(item.text) == item.text


def test_the_page_is_current() -> None:
    from redaction_corpus import figures

    page = (Path(__file__).parents[2] / "docs/redaction.md").read_text(encoding="utf-8")
    assert figures() in page, "write it anew: scripts/redaction"
