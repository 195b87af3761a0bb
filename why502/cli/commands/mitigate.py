"""`why502 mitigate`: quick, reversible changes that relieve an outage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from why502.cli.output_options import loudness, only_format
from why502.model.errors import Why502Error

if TYPE_CHECKING:
    from why502.cli.env import Env
    from why502.fix.plan import Plan
    from why502.model.snapshot import Snapshot

F = TypeVar("F", bound=Callable[..., Any])
HTML = "<!doctype html><title>Back soon</title><h1>Back soon</h1><p>We are working on it. Please try again in a few minutes.</p>"


@click.group()
def mitigate() -> None:
    """Relieve an outage with a quick, reversible change.

    Each mitigation edits the configuration, tests it, reloads, and checks that no other route breaks.
    ROUTE is a location as written in the configuration, with the server name if it is ambiguous: /api/ or shop.example/api/.

    \b
    Example: why502 mitigate down 10.0.0.7:8080 --for 30m
    Example: why502 mitigate list
    Example: why502 mitigate undo
    """


def state_option(command: F) -> F:
    """Add the options that every subcommand has."""
    formats = click.Choice(["text", "json"])
    command = click.option("--format", "format_", type=formats, default="text", show_default=True)(loudness(command))
    return click.option("--state", metavar="DIR", help="Directory for the backups and the journal  [default: /var/lib/why502]")(
        command
    )


def mitigation_options(command: F) -> F:
    """Add the options of a mitigation."""
    command = click.option("--for", "for_", metavar="TIME", help="Revert automatically after this long: 90s, 30m, 2h.")(command)
    command = click.option("--bundle", metavar="FILE", help="Show the plan for the machine in this bundle.")(command)
    command = click.option("--dry-run", is_flag=True, help="Show what would be done and change nothing.")(command)
    command = click.option("-y", "--yes", is_flag=True, help="Skip the confirmation.")(command)
    command = click.option("--config", "--nginx-conf", "configs", multiple=True, metavar="PATH", help="Main configuration file.")(
        command
    )
    return cast(F, click.pass_obj(state_option(command)))


@mitigate.command()
@click.argument("target")
@click.option("--force", is_flag=True, help="Allow removing the last server of an upstream group.")
@mitigation_options
def down(env: Env, target: str, force: bool, **options: Any) -> int:
    """Take a server out of its upstream groups.

    TARGET is marked `down` and stays in the file.

    \b
    Example: why502 mitigate down 10.0.0.7:8080 --for 30m
    """
    from why502.fix import mitigations

    return _pull(env, lambda snapshot: mitigations.down(snapshot, target, is_forced=force), **options)


@mitigate.command()
@click.argument("target")
@click.option("--group", default="", help="The upstream group, if there is more than one.")
@click.option("--backup", is_flag=True, help="Use TARGET only when the others fail.")
@mitigation_options
def standby(env: Env, target: str, group: str, backup: bool, **options: Any) -> int:
    """Bring a server into service.

    TARGET loses its `down` or `backup`, or is added to the group.

    \b
    Example: why502 mitigate standby 10.0.0.9:8080 --group app
    """
    from why502.fix import mitigations

    return _pull(
        env, lambda snapshot: mitigations.standby(snapshot, target, group=group, is_backup=backup), reaches=target, **options
    )


@mitigate.command()
@click.argument("route")
@click.argument("seconds", type=click.FloatRange(1, 3600))
@mitigation_options
def timeout(env: Env, route: str, seconds: float, **options: Any) -> int:
    """Raise the read timeout of one route.

    This helps against 504, never against 502.

    \b
    Example: why502 mitigate timeout /reports/ 120 --for 2h
    """
    from why502.fix import mitigations

    return _pull(env, lambda snapshot: mitigations.timeout(snapshot, route, seconds), **options)


@mitigate.command()
@click.argument("route")
@click.option("--json", "json_", metavar="TEXT|FILE", help="Answer with this JSON.")
@click.option("--html", metavar="TEXT|FILE", help="Answer with this page.")
@click.option("--stale", is_flag=True, help="Answer from the cache, if the route has one.")
@click.option("--status", type=click.IntRange(200, 599), default=503, show_default=True, help="Status code of the answer.")
@mitigation_options
def answer(env: Env, route: str, json_: str | None, html: str | None, stale: bool, status: int, **options: Any) -> int:
    """Answer for a route in place of its backend.

    The answer is a fixed text, or what the cache holds.

    \b
    Example: why502 mitigate answer /api/ --json '{"error": "down"}' --for 1h
    """
    from why502.fix import mitigations

    if [json_ is not None, html is not None, stale].count(True) > 1:
        raise click.UsageError("--json, --html and --stale cannot be combined")
    if stale:
        return _pull(env, lambda snapshot: mitigations.stale(snapshot, route), **options)
    kind = "json" if json_ is not None else "html"
    body = _text(json_ if json_ is not None else html if html is not None else HTML)
    return _pull(env, lambda snapshot: mitigations.answer(snapshot, route, body, kind, status), **options)


@mitigate.command()
@click.argument("route")
@click.argument("most", metavar="N", type=click.IntRange(1, 65535))
@mitigation_options
def limit(env: Env, route: str, most: int, **options: Any) -> int:
    """Limit a route to N concurrent requests.

    The rest get 503 immediately, which takes load off the backend.

    \b
    Example: why502 mitigate limit /search/ 20 --for 1h
    """
    from why502.fix import mitigations

    return _pull(env, lambda snapshot: mitigations.limit(snapshot, route, most), **options)


@mitigate.command("list")
@state_option
@click.pass_obj
def list_(env: Env, state: str | None, format_: str) -> int:
    """List the active mitigations, with their start and end.

    \b
    Example: why502 mitigate list
    """
    from why502.cli.mitigations import listed

    return listed(env, state, is_json=format_ == "json")


@mitigate.command()
@click.argument("id_", metavar="[ID]", required=False)
@state_option
@click.pass_obj
def undo(env: Env, id_: str | None, state: str | None, format_: str) -> int:
    """Revert a mitigation: the one with ID, or the latest.

    \b
    Example: why502 mitigate undo
    """
    from why502.cli.plan_output import ended, work
    from why502.session import mitigating

    entry = mitigating.undo(id_, env.host(), work(env, state))
    ended(env, entry, None, is_json=format_ == "json")
    return 1 if entry.left else 0


@mitigate.command()
@click.option("--wait", is_flag=True, help="Wait until the last one has expired.")
@click.option("--state", metavar="DIR", help="Directory for the backups and the journal  [default: /var/lib/why502]")
@only_format("text")
@loudness
@click.pass_obj
def expire(env: Env, wait: bool, state: str | None) -> int:
    """Revert every mitigation whose time (--for) is up.

    A timer runs this; so does every other `why502 mitigate` command.

    \b
    Example: why502 mitigate expire
    """
    from why502.cli.plan_output import work
    from why502.fix.schedule import READY
    from why502.session import mitigating

    by = work(env, state)
    if wait:
        env.write(f"{READY}\n")
        mitigating.wait(env.host(), by)
        return 0
    return 0 if mitigating.expire(env.host(), by) else 1


def _pull(env: Env, plan: Callable[[Snapshot], Plan], *, reaches: str = "", **options: Any) -> int:
    from why502.cli.mitigations import pull

    return pull(env, plan, reaches=reaches, **options)


def _text(given: str) -> str:
    """Return the text, or the content of the file that it names. Raises Why502Error."""
    if given.lstrip()[:1] in ("{", "[", "<", '"') or "\n" in given or not given:
        return given
    path = Path(given)
    try:
        return path.read_text(encoding="utf-8") if path.stat().st_size < 65536 else "x" * 65536
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or "not UTF-8 text").lower()
        raise Why502Error(f"{given}: {reason}", "Give a file, or the JSON or HTML text itself.") from error
