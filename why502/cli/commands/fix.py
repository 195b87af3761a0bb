"""`why502 fix`: fixes a finding in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from why502.cli.output_options import loudness

if TYPE_CHECKING:
    from why502.cli.env import Env


@click.command()
@click.argument("cause", required=False, metavar="[CAUSE[@TARGET]]")
@click.option("--apply", "is_applied", is_flag=True, help="Apply it: back up, edit, test, reload, verify; roll back on failure.")
@click.option("--dry-run", is_flag=True, help="Show the plan and change nothing (the default).")
@click.option("-y", "--yes", is_flag=True, help="Skip the confirmation.")
@click.option("--remedy", type=click.IntRange(1, 9), metavar="NUMBER", help="Use remedy NUMBER from the list.")
@click.option("--undo", is_flag=True, help="Undo the last fix: restore every file byte for byte.")
@click.option("--resume", is_flag=True, help="Finish a fix that was interrupted.")
@click.option("--config", "--nginx-conf", "configs", multiple=True, metavar="PATH", help="Main configuration file.")
@click.option("--log", "--error-log", "--access-log", "logs", multiple=True, metavar="PATH", help="A log file of any kind.")
@click.option("--url", "urls", multiple=True, metavar="URL", help="A request that must succeed afterwards.")
@click.option("--bundle", metavar="FILE", help="Show the plan for the machine in this bundle.")
@click.option("--since", default="15m", show_default=True, help="Start of the time window.")
@click.option("--state", metavar="DIR", help="Directory for the backups and the journal  [default: /var/lib/why502]")
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True)
@loudness
@click.pass_obj
def fix(
    env: Env,
    cause: str | None,
    is_applied: bool,
    dry_run: bool,
    yes: bool,
    remedy: int | None,
    undo: bool,
    resume: bool,
    configs: tuple[str, ...],
    logs: tuple[str, ...],
    urls: tuple[str, ...],
    bundle: str | None,
    since: str,
    state: str | None,
    format_: str,
) -> int:
    """Show the fix for a finding; --apply applies it.

    Takes the leading finding, or the one for CAUSE on TARGET.

    Exit status: 0 repaired, or nothing to do; 1 a plan is shown, only part was repaired, the repair could not be verified, or
    the fix did not help and was rolled back; 2 it could not run.

    \b
    Example: why502 fix
    Example: why502 fix --apply --yes
    Example: why502 fix wrong-port@127.0.0.1:3001
    Example: why502 fix --undo
    """
    from why502.cli.plan_output import apply, ended, nothing, show, tell_interrupted, work
    from why502.session import fixing

    is_json = format_ == "json"
    if [is_applied, dry_run, undo, resume].count(True) > 1:
        raise click.UsageError("--apply, --dry-run, --undo and --resume cannot be combined")
    if undo or resume:
        if cause or configs or logs or urls or remedy:
            raise click.UsageError("--undo and --resume read the journal: drop CAUSE and the other options")
        entry = fixing.resume(env.host(), work(env, state)) if resume else fixing.undo(env.host(), work(env, state))
        ended(env, entry, None, is_json=is_json)
        return 0 if (entry.is_proved if resume else entry.phase == "reverted") and not entry.left else 1
    from why502.cli.look import look
    from why502.diagnosis.causes import CAUSES
    from why502.diagnosis.engine import diagnose as think
    from why502.fix.plan import NothingToDo, leading, name, plans
    from why502.model.errors import Why502Error
    from why502.model.target import Target
    from why502.render.words import safe

    wanted = cause
    cause, _, at = (cause or "").partition("@")
    target = Target.parse(at) if at else None
    if wanted is not None and cause not in CAUSES:
        raise click.UsageError(f"unknown cause {cause!r}")
    if at and target is None:
        raise Why502Error(f"{at!r} is not a valid address", "Write it like 10.0.0.5:3000 or unix:/run/app.sock.")
    if bundle is not None and (is_applied or configs or logs or urls):
        raise click.UsageError("--bundle only shows a plan: drop --apply and the options for this machine")
    if bundle is None:
        tell_interrupted(env, state)
    (snapshot,) = look(env, urls=urls, configs=configs, logs=logs, since=since, bundles=(bundle,) if bundle else ())
    diagnosis = think(snapshot)
    if diagnosis.verdict == "healthy" and not diagnosis.findings:
        return nothing(env, "Nothing to fix: no gateway failures in the window, and every check passes.", is_json=is_json)
    try:
        choices = plans(diagnosis, snapshot, cause or None, target)
    except NothingToDo as over:
        return nothing(env, f"Nothing to fix now: {safe(over.message)}", is_json=is_json)
    first = leading(diagnosis)
    if wanted and first is not None and (first.cause, target or first.target) != (cause, first.target):
        env.stderr.write(f"why502: {safe(name(first))} is now the leading cause, not {safe(wanted)}\n")
    if remedy is not None:
        if remedy > len(choices):
            raise click.UsageError(f"--remedy {remedy}: there {'are' if len(choices) > 1 else 'is'} only {len(choices)}")
        choices = choices[remedy - 1 : remedy]
    if is_applied:
        by = work(
            env, state, is_asked=not yes, is_json=is_json,
            look_again=lambda: look(env, urls=urls, configs=configs, logs=logs, since=since)[0],
        )  # fmt: skip
        try:
            return apply(env, choices, snapshot, by, is_json=is_json, urls=urls)
        except NothingToDo as over:
            return nothing(env, f"Nothing to fix now: {safe(over.message)}", is_json=is_json)
    how = " ".join(("why502 fix", *([wanted] if wanted else ()), *([f"--remedy {remedy}"] if remedy else ()), "--apply"))
    how += ", on that machine" if bundle else ""
    host = env.machine().of(snapshot)
    return show(env, fixing.with_diffs(choices[0], host), host, is_json=is_json, how=how, others=choices[1:])
