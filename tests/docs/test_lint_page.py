"""The pages about lint: every rule as in the code, the recorded figures; and the pre-commit hook calls an existing command."""

from __future__ import annotations

import re
import tomllib

from asking import ROOT, ask

from why502.diagnosis.causes import CAUSES
from why502.linter.engine import RULES

PAGE, RULES_PAGE = ROOT / "docs" / "lint.md", ROOT / "docs" / "lint-rules.md"
RECORDED = ROOT / "tests" / "data" / "lint"
ROW = re.compile(r"^\| [a-z]+(?:, [^|]*)? \| (\d+) of (\d+) \| (\d+) \| (\d+) of (\d+)[^|]*\| (\d+) of (\d+)", re.MULTILINE)
UNRECORDED = 26  # findings of the earlier batches whose rule was not recorded
LIST = re.compile(r"(?<=<!-- rules -->\n).*?(?=<!-- end of rules -->)", re.DOTALL)


def listed() -> str:
    """Return the list of all rules."""
    lines = [f"{len(RULES)} rules, by id. In brackets: the severity, and the cause that it predicts.", ""]
    for rule in RULES.values():
        cause = f"[{rule.cause}](causes/{rule.cause}.md)" if rule.cause in CAUSES else "hides the evidence for any cause"
        lines.append(f"- **{rule.id}** `{rule.name}` ({rule.severity.value}, {cause}): {rule.message} {rule.reason}")
    return "\n".join(lines) + "\n"


def test_the_rules_are_up_to_date(update: bool) -> None:
    page = RULES_PAGE.read_text()
    assert LIST.search(page)
    if update:
        RULES_PAGE.write_text(LIST.sub(lambda _: listed(), page))
    assert LIST.search(RULES_PAGE.read_text())[0] == listed(), "run make docs"  # type: ignore[index]


def test_the_first_runs_are_those_recorded() -> None:
    recorded = tomllib.loads((RECORDED / "first-runs.toml").read_text())
    rows = [tuple(map(int, row)) for row in ROW.findall(PAGE.read_text())]
    batches = recorded["batch"]
    assert rows == [
        (one["with_configuration"], one["repositories"], one["files"], *one["errors"], *one["findings"]) for one in batches
    ]
    assert f"{sum(one['repositories'] for one in batches)} public repositories" in PAGE.read_text()
    for name, rules in recorded["rules"].items():
        right, reported = (sum(counts) for counts in zip(*rules.values(), strict=True))
        if name.isdigit():
            assert [right, reported] == batches[int(name) - 1]["findings"]
        else:
            assert reported + UNRECORDED == sum(one["findings"][1] for one in batches[1:14])


def test_the_repositories_of_each_batch_are_listed_once() -> None:
    parts = (RECORDED / "repositories.txt").read_text().split("# The ")[1:]
    listed = [part.splitlines()[1:] for part in parts]
    batches = tomllib.loads((RECORDED / "first-runs.toml").read_text())["batch"]
    assert [len(lines) for lines in listed] == [one["repositories"] for one in batches[9:]]
    names = [line.partition(" ")[0].lower() for lines in listed for line in lines]
    assert len(names) == len(set(names))


def test_the_hook_calls_the_command() -> None:
    hook = (ROOT / ".pre-commit-hooks.yaml").read_text()
    entry = re.search(r"entry: why502 (\S+)", hook)
    assert entry and ask(entry[1], "--help").status == 0
    files = re.search(r"files: (.*)", hook)
    assert files
    for path in (
        "nginx.conf",
        "deploy/nginx/app.conf",
        "etc/nginx/sites-available/shop",
        "units/app.service",
        "docker/nginx.prod.conf",
    ):
        assert re.search(files[1], path), path
    for path in ("README.md", "src/main.py", "setup.cfg"):
        assert not re.search(files[1], path), path
