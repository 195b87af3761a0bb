"""A progress bar on standard error: amount read, speed, and remaining time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

if TYPE_CHECKING:
    from why502.logs.scan.job import Job


@contextlib.contextmanager
def shown(stream: TextIO, job: Job) -> Iterator[None]:
    """Show the progress of a job while the block runs; the bar is gone afterwards."""
    columns = (TextColumn("reading"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=stream), transient=True) as bar:
        task = bar.add_task("reading", total=None)

        def advance(size_bytes: int) -> None:
            bar.update(task, total=job.total_bytes or None, advance=size_bytes)

        job.on_read = advance
        try:
            yield
        finally:
            job.on_read = _nothing


def _nothing(_: int) -> None:
    pass
