"""`why502 logs`: reports failures in logs of any size."""

from __future__ import annotations

import contextlib
import importlib
import signal
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from why502.model.errors import Why502Error
from why502.session.log_options import BY, ONLY

if TYPE_CHECKING:
    from why502.cli.env import Env
    from why502.logs.scan.cause_rows import Meaning
    from why502.logs.scan.job import Job
    from why502.logs.scan.report import Report
    from why502.logs.scan.work import ScanQuery

FORMATS = ("text", "json", "html", "prometheus")
MOST_NAMED = 20  # files that could not be read
UNPARSED = 0.1  # share of unparsed lines above which the exit status is 2


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--since", metavar="TIME", help="Start of the time window: 15m, 2h, or an ISO time. Default: everything.")
@click.option("--until", metavar="TIME", help="End of the time window.")
@click.option(
    "--by",
    metavar="FIELD",
    help=f"Show only this table, in full: {', '.join(BY)}; or count the values of any other field of the lines.",
)
@click.option(
    "--where",
    metavar="FIELD=VALUE",
    multiple=True,
    help="Read only the lines whose field has this value; != for any other value. May be given several times.",
)
@click.option(
    "--only",
    type=click.Choice(ONLY),
    default="all",
    show_default=True,
    help="Read only the lines of failed requests; much faster.",
)
@click.option(
    "--log-format",
    metavar="FORMAT",
    help="Format of the access logs: the text of an nginx log_format or an Apache LogFormat, or `combined`.",
)
@click.option(
    "--escape",
    type=click.Choice(("default", "json", "none")),
    default="default",
    help="The escape= parameter of that log_format.",
)
@click.option(
    "--config",
    "--nginx-conf",
    "config",
    metavar="PATH",
    help="nginx or Apache configuration to take log formats, upstream groups and timeouts from.",
)
@click.option("--exact", is_flag=True, help="Exact percentiles and every route and client, no estimates (uses more memory).")
@click.option("--engine", type=click.Choice(("threads", "single")), default="threads", show_default=True)
@click.option("--cluster", metavar="dask://HOST:PORT", help="Read with the workers of this Dask cluster.")
@click.option("--jobs", type=click.IntRange(1, 256), help="Number of threads. Default: one per CPU.")
@click.option("--pure", is_flag=True, help="Read every line in Python, without the compiled reader.")
@click.option("--parquet", metavar="DIR", help="Also write the parsed records to this directory, for SQL.")
@click.option("--sql", metavar="QUERY", help="Run this SQL query on the table `records` instead of printing a report.")
@click.option("-f", "--follow", is_flag=True, help="Follow the logs: a live view on a terminal, otherwise JSON lines.")
@click.option(
    "--interval",
    type=click.FloatRange(0.2, 3600),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How often --follow reports.",
)
@click.option("--format", "format_", type=click.Choice(FORMATS), default="text", show_default=True)
@click.option("--top", type=click.IntRange(1, 1000), default=10, show_default=True, help="Rows per table.")
@click.option("-q", "--quiet", is_flag=True, help="Show only the summary, and no progress bar.")
@click.option("-v", "--verbose", is_flag=True, help="Also show the detected format of each file.")
@click.pass_obj
def logs(
    env: Env,
    /,
    paths: tuple[str, ...],
    parquet: str | None,
    sql: str | None,
    follow: bool,
    interval: float,
    quiet: bool,
    verbose: bool,
    format_: str,
    **asked: Any,
) -> int:
    """Report failures in logs by time, status, route and target.

    Access and error logs are read together. PATH is a file (plain or .gz .bz2 .xz .zst), a directory, a pattern, s3://, gs://,
    ssh:// or `-`. Formats are detected automatically.

    Exit status: 0 no failures, 1 failures, 2 it could not run, or more than a tenth of the lines were unparsed.

    \b
    Example: why502 logs /var/log/nginx
    Example: why502 logs access.log --where status=502 --by http_user_agent
    Example: why502 logs --follow /var/log/nginx
    Example: why502 logs access.log error.log --since 2h --by target
    Example: why502 logs 's3://logs/nginx/*.gz' --format html > report.html
    """
    engine = _engine(asked)
    from why502.cli.env import Exit
    from why502.logs.scan import fields
    from why502.logs.scan.job import Job
    from why502.logs.scan.run import run
    from why502.session import log_formats, log_reports

    given = log_formats.given(asked["log_format"], asked["escape"]) if asked["log_format"] else None
    job = Job(paths=paths, query=_ask(env, asked), given=given, formats=_formats(asked["config"], paths))
    if follow:
        return _follow(env, job, interval, format_, {**asked, "sql": sql, "parquet": parquet})
    with _watched(env, job, quiet=quiet):
        if parquet:
            _write_parquet(job, parquet)
        if sql is not None:
            return _answer(env, job, sql, format_)
        is_short = quiet and format_ == "text"
        means, meanwhile = (_means_nothing, _nothing) if is_short else (log_reports.means, partial(_load, format_))
        found = run(job, engine=engine, jobs=asked["jobs"], means=means, meanwhile=meanwhile)
    _incomplete(env, [(file.path, file.reason) for file in found.files if file.reason])
    if found.files and all(file.reason for file in found.files) and not found.lines:
        raise Why502Error("no log could be read", "The reasons are listed above.")
    if job.query.by and found.requests and not any(row.name for row in found.asked):
        raise Why502Error(f"--by {asked['by']}: no line has this field", fields.hint())
    if found.absent and found.lines > found.unparsed:
        raise Why502Error(f"--where {found.absent[0]}: no line has this field", fields.hint())
    renderer = importlib.import_module(f"why502.render.logs.{format_}").render
    env.write(renderer(found, env.terminal(quiet=quiet, verbose=verbose), by=asked["by"] or "", top=asked["top"]))
    if found.unparsed_share > UNPARSED:
        _unparsed(env, found)
        return Exit.CANNOT
    if found.is_partial:
        return Exit.INTERRUPTED
    return Exit.PROBLEM if found.failures else Exit.HEALTHY


def _follow(env: Env, job: Job, interval_s: float, format_: str, asked: dict[str, Any]) -> int:
    from why502.cli import following

    for name in ("since", "until", "by", "parquet", "sql", "cluster"):
        if asked[name]:
            raise Why502Error(f"--follow does not go with --{name}", "It begins now, and reports all tables.")
    if format_ not in ("text", "json"):
        raise Why502Error(f"--follow does not go with --format {format_}", "Use json, or leave it out.")
    return following.follow(env, job, interval_s=interval_s, top=asked["top"], format_=format_)


def _ask(env: Env, asked: dict[str, Any]) -> ScanQuery:
    from why502.session import log_reports

    question = log_reports.Question(
        since=asked["since"] or "",
        until=asked["until"] or "",
        only=asked["only"],
        where=asked["where"],
        by=asked["by"] or "",
    )
    return log_reports.ask(question, env.now(), env.host(), is_exact=asked["exact"], is_fast=not asked["pure"])


def _formats(config: str | None, paths: tuple[str, ...]) -> Any:
    from why502.session import log_formats

    return log_formats.read(config) if config else log_formats.near(paths)


def _engine(asked: dict[str, Any]) -> Any:
    """Return the function that scans the logs: on the cluster, or here with one or several workers."""
    if asked["cluster"]:
        from why502.cluster import connect

        return connect(asked["cluster"])
    from why502.logs.scan.engine import alone, threads

    return alone if asked["engine"] == "single" else threads


@contextlib.contextmanager
def _watched(env: Env, job: Job, *, quiet: bool) -> Iterator[None]:
    """Show progress on a terminal; the first Ctrl-C ends the run with a partial report, the second one immediately."""

    def stop(_signal: int, _frame: object) -> None:
        if job.is_over or not job.is_reading:  # nothing was read yet
            raise KeyboardInterrupt
        job.is_over = True

    try:
        before = signal.signal(signal.SIGINT, stop)
    except ValueError:  # not in the main thread
        before = None
    try:
        if quiet or not env.stderr.isatty():
            yield
        else:
            from why502.cli.progress import shown

            with shown(env.stderr, job):
                yield
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)


def _write_parquet(job: Job, directory: str) -> None:
    from why502.host import output
    from why502.logs.scan.parquet import write
    from why502.logs.scan.source import STANDARD_INPUT

    if STANDARD_INPUT in job.paths:
        raise Why502Error("--parquet cannot read standard input: it is read once, for the report", "Give the path of a file.")
    try:
        write(job, output.directory(directory))
    except OSError as error:
        raise Why502Error(
            f"--parquet {directory}: {(error.strerror or str(error)).lower()}",
            "Give a writable directory with free space.",
        ) from error


def _answer(env: Env, job: Job, query: str, format_: str) -> int:
    """Write the answer to a query."""
    from why502.cli.env import Exit
    from why502.logs.scan import sql
    from why502.render.logs import answer

    if format_ not in answer.FORMATS:
        raise Why502Error(f"--sql writes no {format_}", f"Use --format {' or --format '.join(answer.FORMATS)}.")
    found, written = sql.ask(job, query)
    env.write(answer.render(found, format_))
    _incomplete(env, list(written.reasons.items()))
    if written.unparsed:
        env.stderr.write(
            f"why502: {written.unparsed} of {written.lines} lines match no known format\n"
            "Give their format with --log-format, or the configuration with --config.\n"
        )
    return Exit.CANNOT if written.unparsed > UNPARSED * written.lines else Exit.HEALTHY


def _load(format_: str) -> None:
    """Import the modules for the report while other processes read."""
    for name in ("session.usual_causes", f"render.logs.{format_}"):
        importlib.import_module(f"why502.{name}")


def _nothing() -> None:
    pass


def _means_nothing(_symptom: str, _cause: str) -> Meaning:
    from why502.logs.scan.cause_rows import Meaning

    return Meaning()


def _incomplete(env: Env, files: Sequence[tuple[str, str]]) -> None:
    """Name the files that were not read, or not to their end, and why."""
    for path, reason in files[:MOST_NAMED]:
        env.stderr.write(f"why502: {_safe(path)}: {_safe(reason)}\n")
    if len(files) > MOST_NAMED:
        env.stderr.write(f"why502: and {len(files) - MOST_NAMED} more; --format json lists them all\n")


def _unparsed(env: Env, found: Report) -> None:
    env.stderr.write(
        f"why502: {found.unparsed} of {found.lines} lines ({found.unparsed_share:.0%}) match no known format; the first:\n"
        + "".join(f"  {_safe(place)}: {_safe(text)}\n" for place, text in found.unparsed_first)
        + "Give their format with --log-format, or the configuration with --config.\n"
    )


def _safe(text: str) -> str:
    from why502.render.words import safe

    return safe(text)
