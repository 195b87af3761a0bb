"""The pages of causes and gateways: up to date, without errors, and without dead links."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import re
from collections import defaultdict
from collections.abc import Iterator

from asking import ROOT

from why502.diagnosis.causes import CAUSES, PAGES
from why502.diagnosis.causes.of_one_symptom import ROWS
from why502.gateways.codes import products
from why502.gateways.statuses import STATUSES

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


def test_a_command_can_be_copied_from_a_page() -> None:
    """An address within code is no link: the marks of one would be part of the command."""
    code = [span for _, text in pages.pages() for span in re.findall(r"`[^`]+`", text)]
    assert any(span.startswith("`curl") and "http://TARGET" in span for span in code)
    assert not [span for span in code if "<http" in span]
    assert any("- <https://" in text for _, text in pages.pages())


def sources() -> Iterator[tuple[str, str]]:
    """Yield the texts that pages are made from, each with its subject."""
    yield from PAGES.items()
    for product in products().values():
        yield from ((product.name, row.message) for row in product.codes.values())
    for status, meaning in STATUSES.items():
        yield from ((f"status {status}", maker.when) for maker in meaning.makers)


def test_no_sentence_appears_on_two_pages() -> None:
    """Addresses of references are not sentences. Rows of one product may share a meaning."""
    written: dict[str, set[str]] = defaultdict(set)
    for page, text in sources():
        for block in re.split(r"\n\s*\n|\n- ", text):
            for sentence in re.split(r"(?<=[.!?:;])\s+", " ".join(block.split())):
                if len(sentence) > 60 and "://" not in sentence:
                    written[sentence].add(page)
    assert len(written) > 300
    assert {sentence: found for sentence, found in written.items() if len(found) > 1} == {}


def test_the_readme_counts_the_causes_that_there_are() -> None:
    assert len(CAUSES) > 100 and len(CAUSES) - len(ROWS) > 80
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert "It knows more than 100 causes. More than 80 of them weigh evidence for and against; each of the others" in readme
