"""`why502 explain`: explains a log line, a status, a code or a cause."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from why502.cli.env import Env
    from why502.model.explanation import Explanation


@click.command()
@click.argument("texts", nargs=-1, metavar="TEXT... | -")
@click.option(
    "--proxy", metavar="NAME", help="The product that wrote the line, status or code: nginx, apache, haproxy, envoy, aws-alb…"
)
@click.option("--format", "format_", type=click.Choice(["text", "json", "jsonl"]), default="text", show_default=True)
@click.option("-q", "--quiet", is_flag=True, help="Show only the cause.")
@click.option("-v", "--verbose", is_flag=True, help="No effect; accepted for consistency.")
@click.pass_obj
def explain(env: Env, texts: tuple[str, ...], proxy: str | None, format_: str, quiet: bool, verbose: bool) -> int:
    """Explain a log line, a status, a gateway code or a cause.

    TEXT is a line of any log that why502 reads, a status (502, 499, 009), a code (AH01102, sH--, UF, Target.Timeout, 522) or a
    cause. With -, every line of standard input is explained. Without TEXT, all causes, statuses and codes are listed.

    Exit status: 0 everything was recognised, 1 something was not, 2 usage error.

    \b
    Example: why502 explain 502 --proxy haproxy
    Example: why502 explain - --format jsonl < error.log
    """
    from why502.cli.env import Exit
    from why502.explanation import explain as look_up
    from why502.gateways.codes import names
    from why502.model.errors import Why502Error
    from why502.model.explanation import Kind
    from why502.redaction import redact

    if proxy is not None and proxy not in names():
        raise Why502Error(f"unknown --proxy {proxy!r}", f"One of: {', '.join(sorted(names()))}.")
    if not texts:
        _list(env, format_)
        return Exit.HEALTHY
    if texts == ("-",):
        found_lines = _chunks(env)
        if format_ == "jsonl":
            return _write_lines(env, found_lines, proxy)
        lines = (line for chunk in found_lines for line in chunk.decode("utf-8", "surrogateescape").split("\n"))
        inputs: Iterator[str] = (line for line in lines if line.strip())
    else:
        inputs = iter(_inputs(texts, proxy))
    found: list[Explanation] = []
    unknown = False
    for text in inputs:
        explanation = look_up(redact(text), proxy)
        unknown |= explanation.kind is Kind.UNRECOGNISED
        if format_ == "json":
            found.append(explanation)
        else:
            _write(env, explanation, format_, quiet=quiet, verbose=verbose)
    if format_ == "json":
        from why502.render.explanation import render_json

        env.write(render_json(found) if found else "[]\n")
    return Exit.PROBLEM if unknown else Exit.HEALTHY


def _inputs(texts: tuple[str, ...], proxy: str | None) -> list[str]:
    """Return the texts to explain: each argument alone, or all of them joined if they are the words of one unquoted log line."""
    from why502.explanation import explain as look_up
    from why502.model.explanation import Kind

    if (
        len(texts) == 1
        or any(" " in text.strip() for text in texts)
        or all(look_up(text, proxy).kind is not Kind.UNRECOGNISED for text in texts)
    ):
        return list(texts)
    return [" ".join(texts)]


def _list(env: Env, format_: str) -> None:
    from why502.render.explanation import everything, everything_json

    env.write(everything(env.terminal()) if format_ == "text" else everything_json(is_line=format_ == "jsonl"))


def _write(env: Env, explanation: Explanation, format_: str, *, quiet: bool, verbose: bool) -> None:
    from why502.model.explanation import Kind
    from why502.render.explanation import render_line, render_text

    if format_ == "jsonl":
        env.write(render_line(explanation).decode())
    elif quiet:
        env.write(f"{explanation.cause or ('unrecognised' if explanation.kind is Kind.UNRECOGNISED else 'no failure')}\n")
    else:
        env.write(render_text(explanation, env.terminal(quiet=quiet, verbose=verbose)) + "\n")


def _write_lines(env: Env, chunks: Iterator[bytes], proxy: str | None) -> int:
    """Write one JSON object for each line, as the lines arrive."""
    from why502.cli.env import Exit
    from why502.session.explaining import Lines

    lines = Lines(proxy)
    for answers in lines.explain(chunks, lambda: _is_waiting(env)):
        env.write_bytes(answers)
    return Exit.PROBLEM if lines.unrecognised else Exit.HEALTHY


def _is_waiting(env: Env) -> bool:
    """Return whether more standard input is available without waiting."""
    import select

    try:
        return bool(select.select([env.stdin.fileno()], [], [], 0)[0])
    except (OSError, ValueError, AttributeError):
        return False


def _chunks(env: Env) -> Iterator[bytes]:
    """Yield whole lines of standard input."""
    import io

    from why502.render.explanation_lines import chunks

    source = getattr(env.stdin, "buffer", None) or io.BytesIO(env.stdin.read().encode("utf-8", "surrogateescape"))
    return chunks(getattr(source, "read1", source.read))
