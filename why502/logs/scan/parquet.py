"""Writes the records of access logs as Parquet files, for SQL: one file per part, with the columns of SCHEMA (docs/logs.md)."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from why502.logs.lines import Window
from why502.logs.scan import fields
from why502.logs.scan.engine import cores
from why502.logs.scan.message_key import is_request
from why502.logs.scan.outcome import of, reasons
from why502.logs.scan.pieces import chunks
from why502.logs.scan.reading import zone
from why502.logs.scan.routes import route
from why502.logs.scan.source import STANDARD_INPUT, open_
from why502.logs.scan.work import Part, ScanQuery
from why502.logs.split_lines import whole_lines
from why502.logs.verdicts import Fields
from why502.logs.window import READ_ERRORS, reason_of
from why502.model.errors import HostError, Why502Error
from why502.model.logs import LogRecord
from why502.model.request_line import method_of, uri_of

if TYPE_CHECKING:
    from why502.logs.scan.job import Job

ROWS = 50_000  # per row group
# name -> type in Arrow's terms, and the content
SCHEMA = {
    "ended_at": ("timestamp[us, tz=UTC]", "when the request ended"),
    "client": ("string", "address of the client"),
    "server": ("string", "server name, otherwise the requested Host"),
    "method": ("string", "GET, POST…; null if the request line is invalid"),
    "path": ("string", "as requested, with its query; secrets removed"),
    "route": ("string", "method and path with * in place of numbers"),
    "status": ("int16", "what the client got"),
    "bytes_sent": ("int64", "bytes"),
    "duration_s": ("double", "seconds, the whole request"),
    "failed": ("bool", "the client got a failure"),
    "symptom": ("string", "of the last failed attempt; null where none failed"),
    "target": ("string", "of the last attempt"),
    "attempts": ("int16", "how many targets were tried"),
    "targets": ("list<string>", "of each attempt"),
    "upstream_statuses": ("list<int16>", "of each attempt; null for `-`"),
    "connect_s": ("list<double>", "of each attempt, seconds"),
    "header_s": ("list<double>", "of each attempt, seconds"),
    "response_s": ("list<double>", "of each attempt, seconds"),
    "request_id": ("string", "the proxy's own"),
    "proxy": ("string", "nginx, haproxy…"),
    "file": ("string", "the log"),
}


class Written(NamedTuple):
    """The numbers of records written, of lines read and of lines that could not be parsed; why a file is incomplete, by path."""

    records: int = 0
    lines: int = 0
    unparsed: int = 0
    reasons: dict[str, str] = {}


def write(job: Job, directory: str) -> Written:
    """Write the records of a job's files. Raises Why502Error.

    The directory must exist, and nobody else may be able to write to it.
    """
    try:
        importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise Why502Error("--parquet needs pyarrow", "pip install 'why502[parquet]'") from error
    place = Path(directory)
    if any(place.glob("part-*.parquet")):
        raise Why502Error(f"--parquet {directory}: already contains records", "Give another directory, or empty it.")
    plans = job.plans()
    parts = [part for planned in plans for part in planned.parts if not part.form.is_error_log]
    parts.sort(key=lambda part: part.path != STANDARD_INPUT)  # which only this process can read
    targets = [str(place / f"part-{number:05d}.parquet") for number in range(len(parts))]
    here = len(parts) if len(parts) < 2 else sum(part.path == STANDARD_INPUT for part in parts)
    done = [write_part(part, job.query, target) for part, target in zip(parts[:here], targets, strict=False)]
    if here < len(parts):
        # Arrow starts threads, so do not fork
        with ProcessPoolExecutor(min(cores(), len(parts)), mp_context=get_context("spawn")) as pool:
            done += pool.map(write_part, parts[here:], [job.query] * (len(parts) - here), targets[here:])
    whys = {planned.source.path: planned.reason for planned in plans if planned.reason}
    for one in done:
        whys.update({path: reason for path, reason in one.reasons.items() if path not in whys})
    return Written(sum(one.records for one in done), sum(one.lines for one in done), sum(one.unparsed for one in done), whys)


def write_part(part: Part, query: ScanQuery, target: str) -> Written:
    """Write the records of one part."""
    arrow: Any = importlib.import_module("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    schema = arrow.schema([arrow.field(name, _type(arrow, kind)) for name, (kind, _) in SCHEMA.items()])
    count, records, reason = 0, _Records(part, query), ""
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file, parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        rows: list[dict[str, Any]] = []
        try:
            for row in records:
                rows.append(row)
                if len(rows) == ROWS:
                    count += len(rows)
                    writer.write_table(arrow.Table.from_pylist(rows, schema=schema))
                    rows = []
        except HostError as error:
            reason = error.reason
        except READ_ERRORS as error:
            reason = reason_of(error)
        writer.write_table(arrow.Table.from_pylist(rows, schema=schema))
    return Written(count + len(rows), records.lines, records.unparsed, {part.path: reason} if reason else {})


class _Records:
    """The records of one part. `lines` and `unparsed`: the lines read so far, and those that could not be parsed."""

    def __init__(self, part: Part, query: ScanQuery) -> None:
        self.part = part
        self.query = query
        self.lines = 0
        self.unparsed = 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        from why502.redaction import clean, redact

        part, query = self.part, self.query
        parse = part.form.parser()
        conditions = fields.Conditions(query.where, part.form)
        window = Window(query.since, query.until, zone(query.localtime))
        given = Fields.of(part.form.log_format)
        has_comments = bool(part.form.w3c) or part.form.has_comments
        with open_(part.path) as stream:
            for chunk in whole_lines(chunks(stream, part), part.form.wrapper):
                for raw in chunk.data.split(b"\n"):
                    if not raw.strip() or (has_comments and raw.startswith(b"#")):
                        continue
                    self.lines += 1
                    if conditions.exclude(raw):
                        continue
                    text = raw.decode("utf-8", "surrogateescape").rstrip("\r")
                    record = parse(text)
                    if record is None or record.at is None or not record.format:
                        self.unparsed += 1
                        continue
                    if not is_request(record) or not conditions.hold(record, text):
                        continue
                    at = window.seconds(record.at)
                    if query.since <= at <= query.until:
                        yield _row(record, at, part.path, given, lambda text: clean(redact(text)))


def _row(record: LogRecord, at: float, path: str, fields: Fields, shown: Callable[[str], str]) -> dict[str, Any]:
    outcome, targets = of(record)
    reason = reasons(outcome, fields)
    uri = uri_of(record.request)
    tries = record.attempts
    return {
        "ended_at": round(at * 1_000_000),
        "client": shown(record.client) or None,
        "server": shown(record.server or record.host) or None,
        "method": shown(method_of(record.request)) if uri else None,
        "path": shown(uri) or None,
        "route": shown(route(record.request)),
        "status": record.status,
        "bytes_sent": record.bytes_sent,
        "duration_s": record.duration_s,
        "failed": outcome.failed,
        "symptom": reason[-1][1] if reason else None,
        "target": shown(targets[-1]) if targets else None,
        "attempts": len(outcome.tries),
        "targets": [shown(where) for where in targets],
        "upstream_statuses": [one.status for one in outcome.tries],
        "connect_s": [one.connect_s for one in tries],
        "header_s": [one.header_s for one in tries],
        "response_s": [one.response_s for one in tries],
        "request_id": shown(record.request_id) or None,
        "proxy": record.proxy,
        "file": shown(path),
    }


def _type(arrow: Any, kind: str) -> Any:
    if kind.startswith("list<"):
        return arrow.list_(_type(arrow, kind[5:-1]))
    if kind.startswith("timestamp"):
        return arrow.timestamp("us", tz="UTC")
    return {
        "string": arrow.string(),
        "int16": arrow.int16(),
        "int64": arrow.int64(),
        "double": arrow.float64(),
        "bool": arrow.bool_(),
    }[kind]
