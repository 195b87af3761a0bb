"""docs/lint.md lists every rule as in the code; the pre-commit hook calls an existing command."""

from __future__ import annotations

import re

from asking import ROOT, ask

from why502.diagnosis.causes import CAUSES
from why502.linter.engine import RULES

PAGE = ROOT / "docs" / "lint.md"
LIST = re.compile(r"(?<=<!-- rules -->\n).*?(?=<!-- end of rules -->)", re.DOTALL)


def listed() -> str:
    """Return the list of all rules."""
    lines = [f"{len(RULES)} rules, by id. In brackets: the severity, and the cause that it predicts.", ""]
    for rule in RULES.values():
        cause = f"[{rule.cause}](causes/{rule.cause}.md)" if rule.cause in CAUSES else "hides the evidence for any cause"
        lines.append(f"- **{rule.id}** `{rule.name}` ({rule.severity.value}, {cause}): {rule.message} {rule.reason}")
    return "\n".join(lines) + "\n"


def test_the_rules_are_up_to_date(update: bool) -> None:
    page = PAGE.read_text()
    assert LIST.search(page)
    if update:
        PAGE.write_text(LIST.sub(lambda _: listed(), page))
    assert LIST.search(PAGE.read_text())[0] == listed(), "run make docs"  # type: ignore[index]


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
