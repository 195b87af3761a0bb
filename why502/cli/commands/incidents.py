"""`why502 incidents`: the incidents that `why502 watch` recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from why502.cli.output_options import loudness

if TYPE_CHECKING:
    from why502.cli.env import Env
    from why502.watch.model import Incident
    from why502.watch.store import Store

F = TypeVar("F", bound=Callable[..., Any])
_STORE = click.option(
    "--store", "store_path", metavar="FILE", help="The store of `why502 watch`  [default: as in /etc/why502/watch.toml]"
)
_BUNDLE = click.option("--bundle", metavar="FILE", help="Also write the bundle of its first seconds to FILE.")


@click.group()
def incidents() -> None:
    """Show the incidents that `why502 watch` recorded.

    Each incident has its cause, the evidence, what changed before, and a timeline.

    ID may be shortened to a unique prefix.

    \b
    Example: why502 incidents list --since 7d
    Example: why502 incidents show 3f9c
    Example: why502 incidents export 3f9c > post-mortem.md
    """


@incidents.command("list")
@click.option("--open", "only_open", is_flag=True, help="Only incidents that are still open.")
@click.option("--since", help="Only those that were open at or after this time: 2h, 7d, or an ISO time.")
@click.option("--until", help="Only those that began before this time.")
@click.option("--cause", default="", metavar="CAUSE", help="Only those with this cause.")
@click.option("--target", default="", metavar="TEXT", help="Only those with this text in a target or location.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="At most this many, the newest.")
@_STORE
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True)
@loudness
@click.pass_obj
def list_incidents(
    env: Env,
    only_open: bool,
    since: str | None,
    until: str | None,
    cause: str,
    target: str,
    limit: int,
    store_path: str | None,
    format_: str,
) -> int:
    """List incidents, the newest first.

    Shows when each incident was opened, how long it lasted, its cause and its fault domain.

    \b
    Example: why502 incidents list --open
    Example: why502 incidents list --since 30d --cause keepalive-race --format json
    """
    from why502.session.window import moment
    from why502.watch.report import json, text

    now = env.now()
    with _store(store_path) as store:
        found = store.incidents(
            is_open=True if only_open else None,
            since=moment(since, now, "--since") if since else None,
            until=moment(until, now, "--until") if until else None,
            cause=cause,
            target=target,
            limit=limit,
        )
    if format_ == "json":
        env.write(json.render_list(found, now))
    elif found:
        env.write(text.listing(found, now, env.terminal(quiet=env.is_quiet, verbose=env.is_verbose)))
    elif not env.is_quiet:
        env.write("no incidents\n")
    return 0


@incidents.command()
@click.argument("id_", metavar="ID")
@_BUNDLE
@_STORE
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True)
@loudness
@click.pass_obj
def show(env: Env, id_: str, bundle: str | None, store_path: str | None, format_: str) -> int:
    """Show one incident, with its cause and what to do.

    Shows what failed and why, the evidence, what changed before, and the timeline.

    \b
    Example: why502 incidents show 3f9c
    Example: why502 incidents show 3f9c --bundle night.why502 && why502 diagnose --bundle night.why502
    """
    from why502.watch.report import json, text

    incident, kept = _incident(store_path, id_, bundle)
    if format_ == "json":
        env.write(json.render(incident, env.now()))
    else:
        terminal = env.terminal(quiet=env.is_quiet, verbose=env.is_verbose)
        env.write(text.page(incident, env.now(), terminal, has_bundle=kept is not None))
    return 0


@incidents.command()
@click.argument("id_", metavar="ID")
@_BUNDLE
@_STORE
@click.option("--format", "format_", type=click.Choice(["markdown", "json"]), default="markdown", show_default=True)
@loudness
@click.pass_obj
def export(env: Env, id_: str, bundle: str | None, store_path: str | None, format_: str) -> int:
    """Write the draft of a post-mortem.

    It contains the facts, the cause with its evidence, what changed before, and the timeline.

    \b
    Example: why502 incidents export 3f9c > post-mortem.md
    Example: why502 incidents export 3f9c --format json
    """
    from why502.watch.report import json, markdown

    incident, kept = _incident(store_path, id_, bundle)
    if format_ == "json":
        env.write(json.render(incident, env.now()))
    else:
        env.write(markdown.render(incident, env.now(), has_bundle=kept is not None))
    return 0


def _store(path: str | None) -> Store:
    """Return the store to read: the given one, or that of the settings. Raises Why502Error."""
    from why502.watch import settings
    from why502.watch.store import Store

    return Store.open(path or settings.read(None).store.path, read_only=True)


def _incident(store_path: str | None, id_: str, bundle: str | None) -> tuple[Incident, bytes | None]:
    """Return an incident and its bundle, which is also written to the file `bundle` if one is named. Raises Why502Error."""
    with _store(store_path) as store:
        incident = store.incident(id_)
        kept = store.bundle(incident.id)
    if bundle:
        _write_bundle(bundle, kept, incident.id)
    return incident, kept


def _write_bundle(path: str, bundle: bytes | None, id_: str) -> None:
    from why502.host.output import write
    from why502.model.errors import Why502Error

    if bundle is None:
        raise Why502Error(f"no bundle of incident {id_} was kept", "Bundles are kept for 90 days, the newest 200.")
    write(path, bundle)
