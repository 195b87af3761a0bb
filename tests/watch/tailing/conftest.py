"""What the tests of tailing share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from why502.watch.tailing import Tailer


@pytest.fixture(autouse=True)
def every_log_is_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close the logs at the end, also of a test that fails: processes that hold files of a test are killed."""
    made: list[Tailer] = []
    real = Tailer.__init__

    def init(self: Tailer, *args: object, **fields: object) -> None:
        made.append(self)
        real(self, *args, **fields)  # type: ignore[arg-type]

    monkeypatch.setattr(Tailer, "__init__", init)
    yield
    for tailer in made:
        tailer.stop(0.5)
