"""Writes the records of access logs as Parquet files, for SQL: one file per part, with the columns of SCHEMA (docs/logs.md)."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from why502.logs.lines import Window
from why502.logs.scan import fields
from why502.logs.scan.engine import cores
from why502.logs.scan.message_key import is_request
from why502.logs.scan.outcome import of, reasons
from why502.logs.scan.pieces import chunks
from why502.logs.scan.reading import zone
from why502.logs.scan.routes import route
from why502.logs.scan.source import open_
from why502.logs.scan.work import Part, ScanQuery
from why502.logs.split_lines import whole_lines
from why502.logs.verdicts import Fields
from why502.model.errors import Why502Error
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


def write(job: Job, directory: str) -> int:
    """Write the records of a job's files and return their number. Raises Why502Error.

    The directory must exist, and nobody else may be able to write to it.
    """
    try:
        importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise Why502Error("--parquet needs pyarrow", "pip install 'why502[parquet]'") from error
    place = Path(directory)
    if any(place.glob("part-*.parquet")):
        raise Why502Error(f"--parquet {directory}: already contains records", "Give another directory, or empty it.")
    parts = [part for planned in job.plans() for part in planned.parts if not part.form.is_error_log and part.path != "-"]
    targets = [str(place / f"part-{number:05d}.parquet") for number in range(len(parts))]
    if len(parts) < 2:
        return sum(map(write_part, parts, [job.query] * len(parts), targets))
    # Arrow starts threads, so do not fork
    with ProcessPoolExecutor(min(cores(), len(parts)), mp_context=get_context("spawn")) as pool:
        return sum(pool.map(write_part, parts, [job.query] * len(parts), targets))


def write_part(part: Part, query: ScanQuery, target: str) -> int:
    """Write the records of one part and return their number."""
    arrow: Any = importlib.import_module("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    schema = arrow.schema([arrow.field(name, _type(arrow, kind)) for name, (kind, _) in SCHEMA.items()])
    count = 0
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file, parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        rows: list[dict[str, Any]] = []
        for row in _rows(part, query):
            rows.append(row)
            if len(rows) == ROWS:
                count += len(rows)
                writer.write_table(arrow.Table.from_pylist(rows, schema=schema))
                rows = []
        writer.write_table(arrow.Table.from_pylist(rows, schema=schema))
    return count + len(rows)


def _rows(part: Part, query: ScanQuery) -> Iterator[dict[str, Any]]:
    from why502.redaction import clean, redact

    parse = part.form.parser()
    conditions = fields.Conditions(query.where, part.form)
    window = Window(query.since, query.until, zone(query.localtime))
    given = Fields.of(part.form.log_format)
    with open_(part.path) as stream:
        for chunk in whole_lines(chunks(stream, part), part.form.wrapper):
            for raw in chunk.data.split(b"\n"):
                if not raw.strip() or conditions.exclude(raw):
                    continue
                text = raw.decode("utf-8", "surrogateescape").rstrip("\r")
                record = parse(text)
                if record is None or record.at is None or not is_request(record) or not conditions.hold(record, text):
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
