"""The commands of `why502 generate`: made from the kinds, which say what they are, what they take and what they make."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

import click

from why502.cli.generated_files import safe_lines
from why502.cli.output_options import loudness, only_format
from why502.generate.kind import kinds
from why502.model.errors import Why502Error

if TYPE_CHECKING:
    from why502.cli.env import Env
    from why502.generate.kind import Kind
    from why502.generate.options import Given, Option
    from why502.generate.work import Generated


def command(name: str) -> click.Command:
    """Return the command of a kind."""
    kind = kinds()[name]

    def call(
        env: Env,
        /,
        output: str | None,
        check: bool,
        is_applied: bool = False,
        yes: bool = False,
        state: str | None = None,
        from_process: str | None = None,
        waits: bool = False,
        from_config: str | None = None,
        **values: Any,
    ) -> int:
        given = _given(kind, values)
        if from_config is not None:
            given = _of_config(env, kind, given, from_config)
        if from_process is not None:
            given = _of_process(env, kind, given, from_process, waits=waits)
        return _run(env, kind, given, output=output, is_applied=is_applied, check=check, yes=yes, state=state)

    made: Any = click.pass_obj(call)
    made = only_format("text")(loudness(made))
    made = click.option(
        "--check", is_flag=True, help="Compare with the existing files; exit status 1 if they differ. Writes nothing."
    )(made)
    if kind.is_applicable:
        made = click.option("--state", metavar="DIR", help="With --apply: directory for the backups and the journal.")(made)
        made = click.option("-y", "--yes", is_flag=True, help="With --apply: skip the confirmation.")(made)
        made = click.option(
            "--apply",
            "is_applied",
            is_flag=True,
            help="Write, test, reload and verify with requests; roll back if anything fails.",
        )(made)
    if _takes_process(kind):
        help_ = "With --from-process: wait until the application closes an idle connection, up to 75 s."
        made = click.option("--measure", "waits", is_flag=True, help=help_)(made)
        help_ = "Measure a running application to fill in the options: a pid, :PORT, a unit or a container."
        made = click.option("--from-process", metavar="WHAT", help=help_)(made)
    if kind.present:
        help_ = "Take the options from this file, and list what changes."
        made = click.option("--from-config", metavar="FILE", help=help_)(made)
    made = click.option("-o", "--output", metavar="DIR", help="Write the files into this directory, in the layout found there.")(
        made
    )
    for option in reversed(kind.options):
        made = _option(option)(made)
    text = f"{kind.help}\n\n\b\nExample: {kind.example}"
    return click.command(name=name, help=text)(made)


def _takes_process(kind: Kind) -> bool:
    return any(option.name in ("--app", "--exec", "--child") for option in kind.options)


def _of_process(env: Env, kind: Kind, given: Given, what: str, *, waits: bool) -> Given:
    """Return the options with those measured on a running application; each is told with its source."""
    from why502.generate import options
    from why502.generate.measure.application import measure
    from why502.redaction import in_place
    from why502.render.words import safe

    limit = given.get("--app-timeout")
    limit_s = options.seconds("--app-timeout", limit, 1, options.LONGEST_S) if limit else 0
    measured = measure(env.host(), what, env.now(), waits=waits, limit_s=limit_s)
    found = given.with_measured(measured.options, [option.name for option in kind.options])
    lines = [f"{shlex.join((name, *found.all(name)))}: {source}" for name, source in found.sources.items()]
    for line in (*lines, *measured.facts):
        env.stderr.write(f"why502: {safe(in_place(line))}\n")
    return found


def _of_config(env: Env, kind: Kind, given: Given, path: str) -> Given:
    """Return the options with those of an existing file; what changes is told."""
    from pathlib import Path

    from why502.render.words import safe

    assert kind.present is not None
    found, changes = kind.present(env.host(), str(Path(path).absolute()), given)
    for sentence in changes:
        env.stderr.write(f"why502: {safe(sentence)}\n")
    return found


def _with_protocol(env: Env, kind: Kind, given: Given) -> Given:
    """Return the options with the protocol that the application answers in; as they are if it is given, or nobody answers."""
    from why502.generate import options
    from why502.generate.measure.conversation import speech

    if not kind.is_site or given.has("--protocol"):
        return given
    target = options.address("--app", given.all("--app")[0].partition("=")[0])
    if not (target.is_unix or target.is_loopback):  # others may be far away, and slow to say no
        return given
    try:
        protocol = speech(env.host(), target)
    except Why502Error:
        return given
    if protocol == "http":
        return given
    found = given.with_measured(
        {"--protocol": ((protocol,), f"what {target} answered")}, [option.name for option in kind.options]
    )
    env.stderr.write(f"why502: --protocol {protocol}: what {target} answered\n")
    return found


def _option(option: Option) -> Any:
    if not option.metavar:
        return click.option(option.name, is_flag=True, help=option.help)
    return click.option(option.name, metavar=option.metavar, multiple=option.is_many, help=option.help)


def _given(kind: Kind, values: dict[str, Any]) -> Given:
    """Return the options that were given, in the order of the kind's table."""
    from why502.generate.options import Given

    found: dict[str, tuple[str, ...]] = {}
    for option in kind.options:
        value = values[option.name.removeprefix("--").replace("-", "_")]
        if option.is_many and value:
            found[option.name] = tuple(value)
        elif option.metavar and value is not None and not option.is_many:
            found[option.name] = (value,)
        elif value is True:
            found[option.name] = ("",)
    return Given(found)


def _run(
    env: Env,
    kind: Kind,
    given: Given,
    *,
    output: str | None,
    is_applied: bool,
    check: bool,
    yes: bool,
    state: str | None,
) -> int:
    from why502.generate.work import generate
    from why502.render.words import safe

    if is_applied and check:
        raise click.UsageError("--apply and --check cannot be combined")
    host = env.host()
    given = _with_protocol(env, kind, _complete(env, kind, given))
    made = generate(kind, given, host, env.now())
    for note in () if env.is_quiet else made.made.notes:
        env.stderr.write(f"why502: {safe(note)}\n")
    directory = output or (kind.home if is_applied else None)
    if is_applied:
        return _apply(env, made, str(directory), yes=yes, state=state)
    if directory is None:
        if check:
            raise click.UsageError("--check needs -o DIR: the directory to compare with")
        _print(env, made)
        return 0
    return _compare(env, made, directory) if check else _write(env, made, directory)


def _print(env: Env, made: Generated) -> None:
    several = len(made.files) > 1
    for number, file in enumerate(made.files):
        begin, end = file.document.marks
        name = f"{begin}--- {file.document.name} ---{end}\n" if several and begin else ""
        env.write(("\n" if number else "") + name + file.text)


def _write(env: Env, made: Generated, directory: str) -> int:
    from why502.generate.writing import State, place, require_ours, write
    from why502.render.words import safe

    placed = place(made, directory)
    _no_conflict(env, made, directory)
    for one in placed:
        if one.old and one.state is not State.SAME:
            env.stderr.write(safe_lines(one.diff))
    require_ours(placed)
    for line in write(placed):
        env.write(f"{safe(line)}\n")
    return 0


def _compare(env: Env, made: Generated, directory: str) -> int:
    from why502.generate.writing import State, place
    from why502.render.words import safe

    drifted = False
    for one in place(made, directory):
        if not one.has_drifted:
            env.write(f"{safe(one.path)} is {one.state}\n")
            continue
        drifted = True
        is_changed = one.state not in (State.NEW, State.SAME, State.REMARKED)
        what = "is missing" if one.state is State.NEW else f"differs: {one.state}" if is_changed else "is not enabled"
        env.write(f"{safe(one.path)} {what}\n")
        if is_changed:
            env.write(safe_lines(one.diff))
    return 1 if drifted else 0


def _no_conflict(env: Env, made: Generated, directory: str) -> None:
    """Raise Why502Error if another file there already serves the same name on the same port."""
    found = made.kind.conflicts(env.host(), directory, made.made.documents) if made.kind.conflicts else ()
    if found:
        raise Why502Error(f"{found[0]}: nothing was written", "Remove that site first, or give another --domain or --port.")


def _apply(env: Env, made: Generated, directory: str, *, yes: bool, state: str | None) -> int:
    from why502.cli.plan_output import ended, work
    from why502.generate.applying import apply
    from why502.render.words import safe

    _no_conflict(env, made, directory)
    by = work(env, state, is_asked=not yes)
    done = apply(made, directory, env.host(), by)
    if done is None:
        env.write(f"Nothing to do: the files in {safe(directory)} are unchanged.\n")
        return 0
    entry, plan = done
    ended(env, entry, plan, is_json=False)
    return 0 if entry.phase == "kept" else 1


# --- what is missing


def _complete(env: Env, kind: Kind, given: Given) -> Given:
    """Return the options, with the answers to at most three questions on a terminal. Raises Why502Error without one."""
    if not kind.is_site or given.has("--app"):
        return given
    from why502.generate.measure.candidates import candidates
    from why502.generate.options import Given

    found = candidates(env.host(), env.now())
    values = dict(given.values)
    if not env.stdin.isatty():
        app = found[0].address if found else "127.0.0.1:3000"
        full = ("why502", "generate", kind.name, "--app", app, *given.words())
        seen = f"{found[0].words} listens on {app}: " if found else "Name the application: "
        raise Why502Error("--app is missing, and there is no terminal to ask on", f"{seen}{shlex.join(full)}")
    for one in found[:5]:
        env.stderr.write(f"  {one.address}  {one.words}\n")
    ask = click.prompt("Where does the application listen?", default=found[0].address if found else None, err=True)
    values["--app"] = tuple(re.split(r"[,\s]+", ask.strip()))
    if not given.has("--domain"):
        if domain := click.prompt("For which domain?", default="", show_default=False, err=True).strip():
            values["--domain"] = tuple(re.split(r"[,\s]+", domain))
        if not given.has("--tls"):
            values["--tls"] = (
                click.prompt("TLS: auto, off, or CERT,KEY", default="auto" if domain else "off", err=True).strip(),
            )
    return Given(values)
