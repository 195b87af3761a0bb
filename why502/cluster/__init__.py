"""Reads log parts on the workers of a Dask cluster.

The function and the bytes are the same, so the result is identical bit for bit.

The paths must mean the same there: a shared directory, or a remote address that fsspec reaches. A task whose worker dies is run
again by the scheduler, and so is one whose result died with it.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from why502.logs.scan.engine import Engine, one
from why502.logs.scan.source import STANDARD_INPUT
from why502.logs.scan.work import Part, Result, ScanQuery
from why502.model.errors import Why502Error

if TYPE_CHECKING:
    from why502.logs.scan.job import Job

CONNECT_S = 10
_POLL_S = 0.5
_RETRIES = 20  # of a part, whatever the reason; a worker that died with it also counts


def connect(address: str) -> Engine:
    """Return the engine of `dask://HOST:PORT`. Raises Why502Error where no scheduler answers there."""
    scheme, found, place = address.partition("://")
    if not found or scheme not in ("dask", "tcp", "tls") or not place:
        raise Why502Error(f"--cluster {address!r} is not a valid cluster address", "Write it like dask://scheduler.example:8786.")
    try:
        distributed = importlib.import_module("distributed")
    except ImportError as error:
        raise Why502Error("--cluster needs Dask", "pip install 'why502[cluster]'") from error
    try:
        client = distributed.Client(f"{'tcp' if scheme == 'dask' else scheme}://{place}", timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise Why502Error(
            f"--cluster {address}: no Dask scheduler answers there ({type(error).__name__})",
            "Start it with `dask scheduler`, and open its port.",
        ) from error

    def engine(parts: Sequence[Part], job: Job, jobs: int) -> Iterator[Result]:  # noqa: ARG001 - the cluster knows how many it is
        with contextlib.closing(client):
            yield from _run(client, distributed, parts, job)

    return engine


def work(part: Part, query: ScanQuery) -> Result:
    """Read one part, on a worker."""
    return one(part, query, _nothing)


def _run(client: Any, distributed: Any, parts: Sequence[Part], job: Job) -> Iterator[Result]:
    if any(part.path == STANDARD_INPUT for part in parts):
        raise Why502Error("--cluster cannot read standard input", "Give files that the workers can open.")
    if not parts:
        return
    futures = client.map(work, parts, [job.query] * len(parts), pure=False, retries=_RETRIES)
    try:
        for part, future in zip(parts, futures, strict=True):
            while True:
                if job.is_over:
                    return
                try:
                    result: Result = future.result(timeout=_POLL_S)
                    break
                except (TimeoutError, distributed.TimeoutError):
                    continue
                except distributed.KilledWorker as error:
                    raise Why502Error(
                        f"the workers died while reading {part.path}", "See their logs; they may have run out of memory."
                    ) from error
            job.on_read((part.end or 0) - part.start)
            yield result
            future.release()
    finally:
        client.cancel(futures)


def _nothing(_: int) -> None:
    pass
