"""The pages of causes and gateways: up to date, without faults, and every link in them leads somewhere."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import re

from asking import ROOT

from why502.diagnosis.causes import CAUSES

LOADER = importlib.machinery.SourceFileLoader("pages", str(ROOT / "scripts" / "pages"))
SPEC = importlib.util.spec_from_loader("pages", LOADER)
assert SPEC
pages = importlib.util.module_from_spec(SPEC)
LOADER.exec_module(pages)


def test_they_are_up_to_date(update: bool) -> None:
    for path, text in pages.pages():
        if update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        assert path.exists(), path
        assert path.read_text() == text, "run make docs"


def test_every_cause_has_all_sections() -> None:
    assert not [fault for name in CAUSES for fault in pages.faults(name)]


def test_every_link_leads_to_a_page() -> None:
    made = {path for path, _ in pages.pages()}
    for path, text in pages.pages():
        for link in re.findall(r"\]\(([\w./-]+\.md)\)", text):
            assert (path.parent / link).resolve() in made, (path, link)
