"""Explains a stream of lines, on two processors if much input is waiting."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator

from why502.render.explanation_lines import Explainer
from why502.session.second_process import Second, can_share

_MUCH = 100_000  # bytes of a chunk that make a second process worthwhile


class Lines:
    """Explains lines; `unrecognised` counts those that no format fits."""

    def __init__(self, proxy: str | None) -> None:
        """`proxy`: the product that wrote them, if known."""
        self.unrecognised = 0
        self._explainer = Explainer(proxy)

    def explain(self, chunks: Iterator[bytes], is_waiting: Callable[[], bool]) -> Iterator[bytes]:
        """Yield one JSON object for each line of the chunks, in order; `is_waiting` returns whether another chunk is already
        there.
        """
        gc.disable()  # millions of short strings without cycles: reference counts free them all
        explainer = self._explainer
        second: Second | None = None
        is_shared = can_share()

        try:
            for chunk in chunks:
                answer = None
                mine: list[bytes] = []
                if is_shared and len(chunk) > _MUCH and is_waiting():
                    second = second or Second(self._work)
                    is_shared = second.give(chunk)
                    mine = list(explainer.explain(more for more in (next(chunks, b""),) if more))
                    answer = second.take() if is_shared else None
                    is_shared = answer is not None
                if answer is not None:
                    yield answer[0]
                    self.unrecognised += answer[1]
                else:
                    mine = [*explainer.explain([chunk]), *mine]
                yield from mine
        finally:
            gc.enable()
            self.unrecognised += explainer.unrecognised
            if second is not None:
                second.end()

    def _work(self, piece: bytes) -> tuple[bytes, int]:
        """Return the answers to a piece and the number of unrecognised lines; this runs in the second process."""
        self._explainer.unrecognised = 0
        return b"".join(self._explainer.explain([piece])), self._explainer.unrecognised
