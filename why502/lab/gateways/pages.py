"""Writes what the scenes showed of each gateway into its page: status, log and admin interface for each fault."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from why502.lab.gateways.own import scenes_of
from why502.lab.gateways.play import SURE, Outcome, parts

DIRECTORY = Path(__file__).resolve().parents[3] / "docs/gateways"
BEGIN, END = "<!-- measured: written by `make gateways` -->\n", "<!-- end of measured -->\n"
_SHOWN = 3  # kinds of log lines of one fault
_WIDTH = 200


def kept(page: Path) -> str:
    """Return the measured part of a page, with its marks; "" if it has none."""
    text = page.read_text() if page.exists() else ""
    _, begins, rest = text.partition(BEGIN)
    inside, ends, _ = rest.partition(END)
    return f"{BEGIN}{inside}{END}" if begins and ends else ""


def write(outcomes: Iterable[Outcome]) -> None:
    """Write the table of each product into its page."""
    by_product: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if not outcome.error:
            by_product.setdefault(parts(outcome.name)[0].KIND, []).append(outcome)
    for product, ones in by_product.items():
        page = DIRECTORY / f"{product}.md"
        before = page.read_text()
        after = f"{BEGIN}{table(ones)}{END}"
        old = kept(page)
        page.write_text(before.replace(old, after) if old else f"{before.rstrip()}\n\n{after}")


def table(outcomes: Iterable[Outcome]) -> str:
    """Return the table of one product: a row for each scene, with the log lines of every form of its log."""
    ones = sorted(outcomes, key=lambda each: list(scenes_of(parts(each.name)[0].KIND)).index(parts(each.name)[2].name))
    scenes: dict[str, list[Outcome]] = {}
    for each in ones:
        scenes.setdefault(parts(each.name)[2].message, []).append(each)
    places = list(dict.fromkeys(place for each in ones for place in each.words))
    lines = [
        "## Measured",
        "",
        (
            "Each fault was created with a real gateway of this kind in front of a test application. "
            "The log column shows the lines of every log format of the gateway. `000`: the client got no status."
        ),
        "",
        f"| fault | the client gets | the gateway's log | {' | '.join(map(_cell, places))} |",
        f"| {' | '.join(['---'] * (3 + len(places)))} |",
    ]
    for message, same in scenes.items():
        statuses = ", ".join(dict.fromkeys(_status(status) for each in same for status in each.statuses))
        said = dict.fromkeys(line for each in same for line in each.failures[:_SHOWN] if line)
        told = "<br>".join(f"`{_cell(line)}`" for line in list(said)[: 2 * _SHOWN]) or " "
        words = (_cell(same[0].words.get(place, "")) or " " for place in places)
        lines.append(f"| {message} | {statuses} | {told} | {' | '.join(words)} |")
    lines += ["", *_figures(ones)]
    return "\n".join(lines) + "\n"


def _figures(outcomes: list[Outcome]) -> list[str]:
    """Return how often `why502 diagnose` named the cause, as the lines of a table with a row for each format of the log."""
    by_log: dict[str, list[Outcome]] = {}
    for each in outcomes:
        by_log.setdefault(parts(each.name)[1], []).append(each)
    lines = [
        f"The answers of `why502 diagnose`; sure means {SURE:g} or more, and the last run of each scene counts:",
        "",
        "| log format | scenes | first answer right | sure and wrong | played |",
        "| --- | --- | --- | --- | --- |",
    ]
    for log, same in by_log.items():
        right, wrong = sum(each.is_right for each in same), sum(bool(each.wrong) for each in same)
        played = "; ".join(sorted({each.played for each in same if each.played}))
        lines.append(f"| {log} | {len(same)} | {right} | {wrong} | {played} |")
    return lines


def _status(status: int) -> str:
    """Return what a client saw; see `lab.traffic.request`."""
    return {499: "none: it disconnected", 9: "no HTTP", 0: "000"}.get(status, str(status))


def _cell(text: str) -> str:
    """Return a text that can stand in a cell of a table, cut."""
    plain = " ".join(text.split()).replace("|", "\\|").replace("`", "'")
    return plain if len(plain) <= _WIDTH else f"{plain[: _WIDTH - 1]}…"
