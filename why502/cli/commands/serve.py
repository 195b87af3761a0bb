"""`why502 serve`: the incidents of `why502 watch` and the tools in a browser."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from why502.cli.output_options import loudness, only_format

if TYPE_CHECKING:
    from why502.cli.env import Env


@click.command()
@click.option("--listen", metavar="ADDRESS", default="127.0.0.1:8502", show_default=True, help="Address and port, or unix:/path.")
@click.option(
    "--token-file", type=click.Path(path_type=Path), metavar="FILE", help="File with the token that opens the pages, mode 0600."
)
@click.option("--store", metavar="FILE", help="The store of `why502 watch`  [default: as in /etc/why502/watch.toml]")
@click.option(
    "--url", metavar="URL", help="Where browsers reach it, if a reverse proxy is in front  [default: as in the settings]"
)
@click.option("--settings", "settings_path", metavar="FILE", help="Settings of `why502 watch`  [default: /etc/why502/watch.toml]")
@click.option("--log", "logs", multiple=True, metavar="PATH", help="A log that pages may read: a file, directory or pattern.")
@only_format("text")
@loudness
@click.pass_obj
def serve(
    env: Env,
    listen: str,
    token_file: Path | None,
    store: str | None,
    url: str | None,
    settings_path: str | None,
    logs: tuple[str, ...],
) -> int:
    """Show incidents in a browser, together with the tools.

    Shows what `why502 watch` recorded: what is wrong now, each incident with its evidence and fix, and the history. Without
    a store it still explains, lints and diagnoses uploads. Nothing on the pages changes the machine.

    By default, only this machine can reach it. Any other address needs a token; without --token-file, one is generated and
    shown once.

    \b
    Example: why502 serve
    Example: why502 serve --listen 0.0.0.0:8502 --token-file /etc/why502/token
    Example: why502 serve --log /var/log/nginx
    Example: why502 serve --listen unix:/run/why502/serve.sock --url https://why502.example
    """
    from why502.cli.env import Exit
    from why502.cli.web import check_installed

    check_installed()
    from why502.serve import allowed_logs, settings
    from why502.serve.service import serve as run
    from why502.watch import settings as watch_settings

    allowed_logs.check(logs)
    watch = watch_settings.read(settings_path)
    found = settings.Settings(
        store=Path(store or watch.store.path),
        listen=settings.listening(listen),
        token=settings.token_in(token_file) if token_file else "",
        url=settings.public_url(url if url is not None else watch.serve.url),
        watch_settings=settings_path,
        names=(env.host().name,),
        logs=tuple(map(os.path.abspath, logs)),
    )
    if not found.is_local and not found.token:
        found = settings.with_token(found)
        env.stderr.write(f"Token, shown this once: {found.token}\n")
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(Exit.HEALTHY))  # uvicorn ends first, and then signals again
    try:
        run(found, lambda address: env.write(f"{address}\n"))
    finally:
        signal.signal(signal.SIGTERM, before)
    return Exit.HEALTHY
