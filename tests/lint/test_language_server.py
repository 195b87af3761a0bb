"""`why502 lsp` with the client of pygls: the diagnostics that an editor receives, and the effect of a quick fix."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from asking import ask
from lsprotocol import types
from pygls.lsp.client import LanguageClient

LIMIT_S = 60
TEXT = (
    'server {\n  listen 80;\n  location / {\n    add_header A "ü𝄞"; proxy_pass http://127.0.0.1:3000; '
    "proxy_busy_buffer_size 8k;\n  }\n}\n"
)


class Editor:
    """A client with one open file. Each change is answered by one publication of diagnostics, which `told` awaits."""

    def __init__(self, client: LanguageClient, uri: str, text: str) -> None:
        self.client, self.uri, self.text, self.version = client, uri, text, 1
        self.published: asyncio.Queue[types.PublishDiagnosticsParams] = asyncio.Queue()

    async def told(self) -> list[types.Diagnostic]:
        found = await asyncio.wait_for(self.published.get(), LIMIT_S)
        assert found.uri == self.uri
        return list(found.diagnostics)

    async def type(self, text: str) -> list[types.Diagnostic]:
        self.version += 1
        self.text = text
        self.client.text_document_did_change(
            types.DidChangeTextDocumentParams(
                text_document=types.VersionedTextDocumentIdentifier(self.version, self.uri),
                content_changes=[types.TextDocumentContentChangeWholeDocument(text)],
            )
        )
        return await self.told()

    async def fixes(self, at: types.Range) -> list[types.CodeAction]:
        params = types.CodeActionParams(types.TextDocumentIdentifier(self.uri), at, types.CodeActionContext([]))
        answer = await asyncio.wait_for(self.client.text_document_code_action_async(params), LIMIT_S)
        return [action for action in answer or () if isinstance(action, types.CodeAction)]

    async def hover(self, at: types.Position) -> str:
        params = types.HoverParams(types.TextDocumentIdentifier(self.uri), at)
        answer = await asyncio.wait_for(self.client.text_document_hover_async(params), LIMIT_S)
        return answer.contents.value if answer and isinstance(answer.contents, types.MarkupContent) else ""


@asynccontextmanager
async def editor(path: Path, text: str) -> AsyncIterator[Editor]:
    client = LanguageClient("test", "1")
    opened = Editor(client, path.as_uri(), text)

    @client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
    def published(params: Any) -> None:
        opened.published.put_nowait(params)

    await client.start_io(sys.executable, "-m", "why502", "lsp", "--nginx-version", "1.22.1")
    try:
        start = types.InitializeParams(capabilities=types.ClientCapabilities(), root_uri=path.parent.as_uri())
        answer = await asyncio.wait_for(client.initialize_async(start), LIMIT_S)
        assert answer.capabilities.hover_provider and answer.capabilities.code_action_provider
        client.initialized(types.InitializedParams())
        client.text_document_did_open(types.DidOpenTextDocumentParams(types.TextDocumentItem(opened.uri, "nginx", 1, text)))
        yield opened
        await asyncio.wait_for(client.shutdown_async(None), LIMIT_S)
        client.exit(None)
    finally:
        await client.stop()


def applied(text: str, edit: types.WorkspaceEdit | None, uri: str) -> str:
    """Return the text after an edit, as an editor applies it: in UTF-16."""
    assert edit is not None and edit.changes is not None
    for change in sorted(edit.changes[uri], key=lambda each: (each.range.start.line, each.range.start.character), reverse=True):
        lines = text.split("\n")

        def offset(at: types.Position, lines: list[str] = lines) -> int:
            return sum(len(line.encode("utf-16-le")) + 2 for line in lines[: at.line]) + 2 * at.character

        raw = text.encode("utf-16-le")
        raw = raw[: offset(change.range.start)] + change.new_text.encode("utf-16-le") + raw[offset(change.range.end) :]
        text = raw.decode("utf-16-le")
    return text


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "sites-available" / "a b.conf"
    made.parent.mkdir()
    made.write_text(TEXT)
    return made


def test_an_editor_gets_diagnostics_and_quick_fixes(path: Path) -> None:
    async def run() -> None:
        async with editor(path, TEXT) as opened:
            (wrong,) = [found for found in await opened.told() if found.severity == types.DiagnosticSeverity.Error]
            assert wrong.code == "W502-002 unknown-directive" and wrong.source == "why502"
            line = TEXT.split("\n")[wrong.range.start.line].encode("utf-16-le")
            assert line[2 * wrong.range.start.character :].decode("utf-16-le").startswith("proxy_busy_buffer_size")
            page = await opened.hover(wrong.range.start)
            assert "A directive does not exist" in page and "## proxy-config-invalid" in page and "## Fix" in page
            assert await opened.hover(types.Position(0, 0)) == ""
            (fix,) = [action for action in await opened.fixes(wrong.range) if action.title.startswith("W502-002")]
            assert fix.kind == types.CodeActionKind.QuickFix
            repaired = applied(TEXT, fix.edit, opened.uri)
            assert repaired == TEXT.replace("proxy_busy_buffer_size", "proxy_busy_buffers_size")
            assert not [found for found in await opened.type(repaired) if str(found.code).startswith("W502-002")]
            assert path.read_text() == TEXT  # only the editor writes

    asyncio.run(run())


@pytest.mark.thorough
def test_the_editors_text_counts_and_not_the_saved_file(path: Path) -> None:
    async def run() -> None:
        async with editor(path, TEXT) as opened:
            await opened.told()
            assert "W502-028 wildcard-target" in [found.code for found in await opened.type(TEXT.replace("127.0.0.1", "0.0.0.0"))]
            assert await opened.type("server {") and await opened.type("") == []

    asyncio.run(run())


@pytest.mark.thorough
def test_a_file_that_is_not_configuration(path: Path) -> None:
    async def run() -> None:
        async with editor(path, "listen {{ port }};\n") as opened:
            assert await opened.told() == []

    asyncio.run(run())


def test_bad_input() -> None:
    answer = ask("lsp", "--nginx-version", "new")
    assert answer.status == 2 and len(answer.err.splitlines()) == 2
