"""Answers SQL queries over the records of access logs with DuckDB: the table `records` has the columns of parquet.SCHEMA."""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from why502.logs.scan import parquet
from why502.logs.scan.report import Answer
from why502.model.errors import Why502Error

if TYPE_CHECKING:
    from why502.logs.scan.job import Job

MOST_ROWS = 100_000
_MEMORY = "1GiB"


def ask(job: Job, query: str) -> tuple[Answer, parquet.Written]:
    """Return the result of a query over the records of a job's files, and what was read of them. Raises Why502Error.

    The query can read only these records, and can write nothing.
    """
    try:
        duckdb: Any = importlib.import_module("duckdb")
    except ImportError as error:
        raise Why502Error("--sql needs DuckDB", "pip install 'why502[sql]'") from error
    with tempfile.TemporaryDirectory(prefix="why502-sql-") as directory:
        records = Path(directory) / "records"
        records.mkdir()
        written = parquet.write(job, str(records))
        if not written.records:
            reason = next((f": {path}: {reason}" for path, reason in written.reasons.items()), "")
            raise Why502Error(f"--sql: no request was read{reason}", "Give access logs, and check --since, --until and --where.")
        with duckdb.connect(config={"memory_limit": _MEMORY, "temp_directory": str(Path(directory) / "spilled")}) as database:
            try:
                database.execute("SET TimeZone = 'UTC'")
                database.read_parquet(str(records / "*.parquet")).create_view("records")
                database.execute(f"SET allowed_directories = ['{directory}']")
                database.execute("SET enable_external_access = false")
                database.execute("SET lock_configuration = true")
                found = database.execute(query)
                rows = found.fetchmany(MOST_ROWS + 1)
            except duckdb.Error as error:
                raise Why502Error(
                    f"--sql: {str(error).splitlines()[0]}", f"The table is records; its columns: {', '.join(parquet.SCHEMA)}."
                ) from error
            columns = tuple(column[0] for column in found.description or ())
    return Answer(columns=columns, rows=tuple(rows[:MOST_ROWS]), is_cut=len(rows) > MOST_ROWS), written
