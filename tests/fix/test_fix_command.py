"""`why502 fix` on the command line: its output, its errors, and its JSON for scripts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from asking import GOLDEN, TWO_LINES, ask

BUNDLE = str(GOLDEN / "wrong-port.why502")


def test_a_plan_for_scripts() -> None:
    told = ask("fix", "--bundle", BUNDLE, "--format", "json")
    assert told.status == 1
    plan = json.loads(told.out)
    assert plan["schema"] == "why502.fix/1"
    assert (plan["cause"], plan["outcome"], plan["id"], plan["left"]) == ("wrong-port", "planned", None, [])
    edit, test, load = plan["steps"]
    assert "+            proxy_pass http://127.0.0.1:3000;\n" in edit["edit"]["diff"]
    assert test["run"][-1] == "-t"
    assert load["run"] == load["undo"]


def test_the_complete_command_is_shown() -> None:
    told = ask("fix", "wrong-port", "--bundle", BUNDLE, "--remedy", "1")
    assert told.out.endswith("Nothing was changed. Apply it with: why502 fix wrong-port --remedy 1 --apply, on that machine\n")


def test_a_finding_is_named_with_its_target() -> None:
    named = "wrong-port@127.0.0.1:3001"
    told = ask("fix", named, "--bundle", BUNDLE)
    assert (told.status, told.err) == (1, "")
    assert told.out.endswith(f"Apply it with: why502 fix {named} --apply, on that machine\n")


@pytest.mark.parametrize("named", ["wrong-port@127.0.0.1:9", "backend-hung", "backend-hung@127.0.0.1:3001"])
def test_an_unknown_finding_is_rejected_with_the_leading_one(named: str) -> None:
    told = ask("fix", named, "--bundle", BUNDLE)
    assert (told.status, told.out) == (2, "")
    assert "wrong-port@127.0.0.1:3001 is now the leading cause" in told.err
    assert "why502 fix wrong-port@127.0.0.1:3001" in told.err
    assert TWO_LINES.fullmatch(told.err)


def test_nothing_to_fix() -> None:
    told = ask("fix", "--bundle", str(GOLDEN / "healthy.why502"))
    assert (told.status, told.err) == (0, "")
    assert told.out.startswith("Nothing to fix")
    assert json.loads(ask("fix", "--bundle", str(GOLDEN / "healthy.why502"), "--format", "json").out)["outcome"] == "nothing"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("--apply", "--undo"), "cannot be combined"),
        (("--apply", "--dry-run"), "cannot be combined"),
        (("wrong-port", "--undo"), "drop CAUSE and the other options"),
        (("no-such-cause",), "unknown cause 'no-such-cause'"),
        (("tls-verify-failed", "--bundle", BUNDLE), "tls-verify-failed was not found"),
        (("--bundle", BUNDLE, "--remedy", "2"), "--remedy 2: there is only 1"),
        (("--undo", "--remedy", "1"), "drop CAUSE and the other options"),
        (("--bundle", BUNDLE, "--apply"), "--bundle only shows a plan"),
        (("--bundle", "/nonexistent"), "no such file"),
        (("--since", "yesterday-ish"), "is neither a duration nor a time"),
        (("--format", "xml"), "Invalid value"),
        (("--url", "ftp://x"), "--url"),
    ],
)
def test_bad_input_is_two_lines(argv: tuple[str, ...], message: str) -> None:
    told = ask("fix", *argv)
    assert told.status == 2
    assert TWO_LINES.fullmatch(told.err), told.err
    assert message in told.err


@pytest.mark.parametrize(("option", "message"), [("--undo", "no fix to undo"), ("--resume", "no fix was interrupted")])
def test_an_empty_journal(tmp_path: Path, option: str, message: str) -> None:
    told = ask("fix", option, "--state", str(tmp_path))
    assert told.status == 2
    assert told.err == f"why502: {message}\nThe journal is in {tmp_path}.\n"


def test_a_state_directory_that_cannot_be() -> None:
    told = ask("fix", "--undo", "--state", "/proc/none")
    assert told.status == 2
    assert TWO_LINES.fullmatch(told.err)
