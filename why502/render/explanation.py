"""Renders an explanation as JSON, and as text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import msgspec

from why502.explanation.candidates import is_command
from why502.explanation.known import CAUSES
from why502.gateways.codes import products
from why502.gateways.statuses import STATUSES
from why502.model.explanation import Explanation, Kind
from why502.model.finding import Layer
from why502.model.remedy import Remedy
from why502.render import contract
from why502.render.words import FAULT_DOMAINS, Terminal, safe

_OWN_WORDS = frozenset({"at", "phase"})  # fields whose values come from us and not from the log
LONGEST = 65536  # maximum characters of an input that are repeated in the output


def document(explanation: Explanation) -> contract.Explanation:
    """Return the contract's object. The input is repeated unchanged; bytes that are not UTF-8 become `\\xNN`."""
    return contract.Explanation(
        schema="why502.explanation/1",
        input=as_text(explanation.input[:LONGEST]),
        kind=explanation.kind,  # type: ignore[arg-type]
        proxy=explanation.proxy,
        gateway_failure=explanation.gateway_failure,
        cause=explanation.cause,
        candidates=[
            contract.Candidate(cause=each.cause, layer=each.layer, confidence=each.confidence, message=each.message)
            for each in explanation.candidates
        ],
        fields={
            name: as_text(value) if isinstance(value, str) and name not in _OWN_WORDS else value
            for name, value in explanation.fields.items()
        },
        message=as_text(explanation.message),
        next=list(explanation.next),
        remedies=[remedy(one) for one in explanation.remedies],
    )


def remedy(found: Remedy) -> contract.Remedy:
    """Return advice as an object of the contract."""
    return contract.Remedy(message=found.message, safe=found.safe, steps=[])


def as_text(text: str) -> str:
    """Return text that JSON can hold: bytes that are not UTF-8 become `\\xNN`."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def render_json(explanations: Sequence[Explanation]) -> str:
    """Return one indented object, or an array of objects if there are several."""
    documents = [document(each) for each in explanations]
    return msgspec.json.format(msgspec.json.encode(documents[0] if len(documents) == 1 else documents), indent=2).decode() + "\n"


def render_line(explanation: Explanation) -> bytes:
    """Return the object on one line, with a line feed."""
    return msgspec.json.encode(document(explanation)) + b"\n"


def render_text(explanation: Explanation, terminal: Terminal) -> str:
    """Return the text for a person: the meaning, the causes, what to check, what to do."""
    page = _Page(terminal)
    if explanation.kind is Kind.UNRECOGNISED:
        page.say(f"not recognised: {explanation.input[:200]}")
        page.say(
            "Give a line of a proxy's log, a status (502), a code (AH01102, sH--, UF, 522) or a cause; "
            "`why502 explain` lists them.",
            2,
        )
        return page.text()
    if explanation.kind is Kind.CAUSE:
        return _cause(explanation, page)
    page.title(explanation.message)
    if explanation.kind is Kind.STATUS:
        for maker in explanation.fields["made_by"]:
            page.item(maker["proxy"], f"{maker['when']} ({', '.join(maker['causes'][:6])})")
    else:
        _candidates(explanation, page)
    if not explanation.gateway_failure and explanation.kind is not Kind.STATUS:
        page.say("This is not a failure on the way to a backend.", 2)
    _lists(explanation, page)
    if explanation.notes:
        page.head("Also")
        for note in explanation.notes.splitlines():
            page.say(note, 4)
    if explanation.cause:
        page.head(f"More: why502 explain {explanation.cause}")
    return page.text()


def _candidates(explanation: Explanation, page: _Page) -> None:
    for each in explanation.candidates if explanation.gateway_failure else ():
        page.item(f"{each.confidence:4.0%}  {each.cause}", f"{each.message} ({FAULT_DOMAINS[each.layer]})")


def _cause(explanation: Explanation, page: _Page) -> str:
    """Return the page of a cause: its Markdown, wrapped to the terminal's width, with headings instead of marks."""
    page.title(f"{explanation.cause}, fault: {FAULT_DOMAINS[explanation.candidates[0].layer]}")
    for block in explanation.notes.strip().split("\n\n"):
        first, *lines = block.splitlines()
        if is_list := first.startswith("## "):
            page.head(first.removeprefix("## "))
        else:
            page.say("")
            lines = [first, *lines]
        items: list[str] = []
        for line in lines:
            if line.startswith("- ") or not items:
                items.append(line)
            else:
                items[-1] += f" {line.strip()}"
        for item in items:
            page.quote(item, 4 if is_list else 2)
    return page.text()


def _lists(explanation: Explanation, page: _Page) -> None:
    for title, items in (
        ("Check next", explanation.next),
        ("Then", tuple(remedy.message for remedy in explanation.remedies)),
        ("Sources", explanation.references),
    ):
        if items:
            page.head(title)
            for item in items:
                page.say(f"{'$' if title == 'Check next' and is_command(item) else '-'} {item}", 4)


def everything(terminal: Terminal) -> str:
    """Return the list of all causes, statuses and products that `explain` knows."""
    page = _Page(terminal)
    for layer in Layer:
        causes = [(name, cause) for name, cause in CAUSES.items() if cause.layer is layer]
        if causes:
            page.title(FAULT_DOMAINS[layer])
            for name, cause in causes:
                page.item(name, cause.message)
    page.title("statuses")
    for code, status in STATUSES.items():
        page.item(code, status.title)
    page.title("codes")
    for product in products().values():
        if product.codes:
            names = list(product.codes)
            page.item(product.title, f"{len(names)} codes: {', '.join(names[:6])}…")
    page.head("More: why502 explain NAME")
    return page.text()


def reference() -> contract.Reference:
    """Return all causes, statuses and products as the contract's object."""
    return contract.Reference(
        schema="why502.reference/1",
        causes=[contract.CauseEntry(cause=name, layer=cause.layer, message=cause.message) for name, cause in CAUSES.items()],
        statuses=[
            contract.StatusEntry(status=code, message=status.title, gateway_failure=status.is_failure)
            for code, status in STATUSES.items()
        ],
        products=[
            contract.ProductEntry(proxy=product.name, message=product.title, codes=list(product.codes))
            for product in products().values()
        ],
    )


def everything_json(*, is_line: bool = False) -> str:
    """Return the same as one JSON object, on one line if `is_line`."""
    found = reference()
    data = msgspec.json.encode(found)
    return (data if is_line else msgspec.json.format(data, indent=2)).decode() + "\n"


class _Page:
    """Text laid out line by line."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._lines: list[str] = []

    def title(self, text: str) -> None:
        """Add a highlighted line after an empty one."""
        if self._lines:
            self._lines.append("")
        self._lines += [self._bold(line) for line in textwrap.wrap(safe(text), self._terminal.width)]

    def head(self, text: str) -> None:
        """Add the heading of a list."""
        self._lines += ["", self._bold(f"  {safe(text)}")]

    def say(self, text: str, indent: int = 0) -> None:
        """Add a sentence, or an empty line."""
        self.quote(safe(text), indent)

    def quote(self, text: str, indent: int = 0) -> None:
        """Add a sentence of our own documentation, in which nothing is a secret: `secret=` is only a name there."""
        if not text:
            self._lines.append("")
        pad = " " * indent
        more = pad + ("  " if text.startswith(("- ", "$ ")) else "")
        self._lines += textwrap.wrap(
            text,
            self._terminal.width,
            initial_indent=pad,
            subsequent_indent=more,
            break_long_words=False,
            break_on_hyphens=False,
        )

    def item(self, name: str, text: str) -> None:
        """Add a name with its meaning beside it."""
        self._lines += textwrap.wrap(
            safe(text),
            self._terminal.width,
            initial_indent=f"  {safe(name):<30} ",
            subsequent_indent=" " * 33,
            break_long_words=False,
            break_on_hyphens=False,
        )

    def text(self) -> str:
        """Return the whole text."""
        return "\n".join(self._lines).rstrip("\n") + "\n"

    def _bold(self, text: str) -> str:
        return f"\x1b[1m{text}\x1b[0m" if self._terminal.is_colored else text
