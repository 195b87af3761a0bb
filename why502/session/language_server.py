"""`why502 lsp`: a language server over standard input and output. Diagnostics, hover with the rule's and cause's page, quick
fixes.

The file that is open is checked as the editor holds it, saved or not; those around it as they lie on the disk. Positions are
those of
the protocol: lines from 0, characters in UTF-16 code units (the encoding that every client supports).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from why502.diagnosis.causes import PAGES
from why502.host.base import Host
from why502.linter.engine import RULES
from why502.linter.report import Report
from why502.model.config import Position
from why502.model.errors import Why502Error
from why502.model.finding import Risk, Severity
from why502.model.remedy import Edit, Remedy
from why502.redaction import redact
from why502.session import linting
from why502.version import __version__

SOURCE = "why502"
LONGEST = 4 << 20  # characters of an open file that are checked
_SEVERITIES = {
    Severity.ERROR: types.DiagnosticSeverity.Error,
    Severity.WARNING: types.DiagnosticSeverity.Warning,
    Severity.NOTE: types.DiagnosticSeverity.Information,
}


class _Open:
    """A Host on which the open files have the editor's content."""

    def __init__(self, host: Host, contents: Mapping[str, bytes]) -> None:
        self._host = host
        self._contents = contents

    def read(self, path: str, *, limit_bytes: int = 16 << 20) -> bytes:
        """Return the editor's content of an open file, the disk's of another."""
        if path in self._contents:
            return self._contents[path][:limit_bytes]
        return self._host.read(path, limit_bytes=limit_bytes)

    def acting_as(self, uid: int) -> _Open:
        """Return the same host with the rights of a user."""
        return _Open(self._host.acting_as(uid), self._contents)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)


class Checker:
    """What the open files hold, and what was found in each. Needs no client, so that it can be tested without one."""

    def __init__(self, host: Host, version: str) -> None:
        self.host = host
        self.version = version
        self.texts: dict[str, str] = {}
        self.found: dict[str, tuple[Risk, ...]] = {}

    def check(self, path: str) -> tuple[Risk, ...]:
        """Return the findings in an open file; none where it is not configuration."""
        contents = {name: text.encode("utf-8", "surrogateescape") for name, text in self.texts.items()}
        host = cast(Host, _Open(self.host, contents))
        try:
            report = self._report(host, path) if len(self.texts[path]) <= LONGEST else Report()
        except Why502Error:
            report = Report()
        self.found[path] = tuple(risk for risk in report.risks if risk.at is not None and risk.at.file == path)
        return self.found[path]

    def _report(self, host: Host, path: str) -> Report:
        given = linting.read(host, [path], self.version)
        report, _ = linting.check(given, tuple(RULES.values()), self.version, base="")
        return report

    def forget(self, path: str) -> None:
        """Drop a file that was closed."""
        self.texts.pop(path, None)
        self.found.pop(path, None)

    def near(self, path: str, line: int) -> Iterator[Risk]:
        """Yield the findings of a line (from 0)."""
        yield from (risk for risk in self.found.get(path, ()) if risk.at is not None and risk.at.line == line + 1)

    def diagnostics(self, path: str) -> list[types.Diagnostic]:
        """Return the findings of a file as the protocol has them."""
        content = self.texts[path].encode("utf-8", "surrogateescape")
        return [
            types.Diagnostic(
                range=_range(content, risk.at.start, risk.at.end) if risk.at.end else _line(self.texts[path], risk.at),
                message=redact(". ".join([risk.message, *(remedy.message for remedy in risk.remedies)])),
                severity=_SEVERITIES[risk.severity or Severity.NOTE],
                code=f"{risk.rule} {RULES[risk.rule].name}",
                source=SOURCE,
            )
            for risk in self.found[path]
            if risk.at is not None
        ]

    def hover(self, path: str, line: int) -> str:
        """Return, in Markdown, what the rules of a line's findings say, and the page of the cause; "" for none."""
        parts = []
        for risk in self.near(path, line):
            rule = RULES[risk.rule]
            parts.append(
                f"**{risk.rule} {rule.name}** ({(risk.severity or rule.severity).value})\n\n{rule.message}\n\n{rule.reason}"
            )
            if page := PAGES.get(risk.cause, ""):
                parts.append(f"## {risk.cause}\n\n{page}")
        return "\n\n".join(dict.fromkeys(parts))

    def actions(self, path: str, first: int, last: int) -> Iterator[tuple[Risk, Remedy]]:
        """Yield the remedies for findings in these lines (from 0) that are edits of this file alone."""
        for line in range(first, min(last, first + 10_000) + 1):
            for risk in self.near(path, line):
                for remedy in risk.remedies:
                    if remedy.steps and all(isinstance(step, Edit) and step.file == path for step in remedy.steps):
                        yield risk, remedy


def serve(host: Host, version: str) -> None:
    """Answer a client on standard input and output until it says `exit`, or closes them."""
    create(Checker(host, version)).start_io()


def create(checker: Checker) -> LanguageServer:
    """Return the server over a checker."""
    server = LanguageServer("why502", __version__, text_document_sync_kind=types.TextDocumentSyncKind.Full)

    def refresh(uri: str) -> None:
        path = path_of(uri)
        if not path:
            return
        document = server.workspace.get_text_document(uri)
        checker.texts[path] = document.source
        checker.check(path)
        found = types.PublishDiagnosticsParams(uri=uri, version=document.version, diagnostics=checker.diagnostics(path))
        server.text_document_publish_diagnostics(found)

    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    def opened(params: types.DidOpenTextDocumentParams) -> None:
        refresh(params.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    def changed(params: types.DidChangeTextDocumentParams) -> None:
        refresh(params.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_DID_SAVE)
    def saved(params: types.DidSaveTextDocumentParams) -> None:
        refresh(params.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def closed(params: types.DidCloseTextDocumentParams) -> None:
        checker.forget(path_of(params.text_document.uri))
        server.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri=params.text_document.uri, diagnostics=[]))

    @server.feature(types.TEXT_DOCUMENT_HOVER)
    def hovered(params: types.HoverParams) -> types.Hover | None:
        text = checker.hover(path_of(params.text_document.uri), params.position.line)
        return types.Hover(contents=types.MarkupContent(kind=types.MarkupKind.Markdown, value=text)) if text else None

    @server.feature(types.TEXT_DOCUMENT_CODE_ACTION, types.CodeActionOptions(code_action_kinds=[types.CodeActionKind.QuickFix]))
    def acted(params: types.CodeActionParams) -> list[types.CodeAction]:
        path = path_of(params.text_document.uri)
        lines = params.range.start.line, params.range.end.line
        return [_action(checker, params.text_document.uri, path, risk, remedy) for risk, remedy in checker.actions(path, *lines)]

    return server


def _action(checker: Checker, uri: str, path: str, risk: Risk, remedy: Remedy) -> types.CodeAction:
    content = checker.texts[path].encode("utf-8", "surrogateescape")
    edits = [
        types.TextEdit(range=_range(content, step.start, step.end), new_text=step.after)
        for step in remedy.steps
        if isinstance(step, Edit)
    ]
    return types.CodeAction(
        title=f"{risk.rule}: {redact(remedy.message)}",
        kind=types.CodeActionKind.QuickFix,
        is_preferred=remedy.safe,
        edit=types.WorkspaceEdit(changes={uri: edits}),
    )


def path_of(uri: str) -> str:
    """Return the path of a `file:` URI, "" for another one."""
    found = urlsplit(uri)
    return str(Path(unquote(found.path))) if found.scheme == "file" else ""


def _range(content: bytes, start: int, end: int) -> types.Range:
    return types.Range(start=_position(content, start), end=_position(content, end))


def _position(content: bytes, offset: int) -> types.Position:
    """Return the place of a byte: line from 0, character in UTF-16 code units."""
    line = content.count(b"\n", 0, offset)
    begin = content.rfind(b"\n", 0, offset) + 1
    return types.Position(line=line, character=_units(content[begin:offset].decode("utf-8", "surrogateescape")))


def _line(text: str, at: Position) -> types.Range:
    """Return the range of a whole line, for a finding without bytes."""
    lines = text.split("\n")
    line = lines[at.line - 1] if at.line <= len(lines) else ""
    number = max(min(at.line, len(lines)) - 1, 0)
    return types.Range(start=types.Position(number, 0), end=types.Position(number, _units(line)))


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
