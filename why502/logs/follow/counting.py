"""Counts lines that came to a followed log, and gives its requests to a sink."""

from __future__ import annotations

import copy
from typing import BinaryIO, cast

from msgspec import structs

from why502.logs.follow.open_file import OpenFile
from why502.logs.follow.piece import Piece, minute_end
from why502.logs.follow.step import Sink
from why502.logs.held import Origin
from why502.logs.scan.counts import Counts
from why502.logs.scan.line_format import Form
from why502.logs.scan.part import Session
from why502.logs.scan.work import Part, ScanQuery
from why502.logs.split_lines import Lines
from why502.logs.window import LINE_BYTES
from why502.logs.wrappers import PARTIAL
from why502.model.logs import LogRecord

LEAST_FAST_BYTES = 1 << 18  # less is read in Python: making a compiled reader takes longer
LEAST_GIVEN_BYTES = 1 << 14  # the same for requests that are given to a sink, which costs more


class Counter:
    """Counts the lines of one log. `form`: how they are read, where a configuration tells. `query`: what is wanted of each."""

    def __init__(self, query: ScanQuery, form: Form | None, sink: Sink | None) -> None:
        self.query = query
        self.form = form
        self.sink = sink
        self.index = 0  # of the part that was counted last

    def whole(self, file: OpenFile, lines: bytes) -> int:
        """Return how much of the new bytes is whole lines, and whole messages where a container runtime cuts them."""
        end = lines.rfind(b"\n") + 1
        form = file.form_of(lines, self.form)
        if form.wrapper not in PARTIAL or not end:
            return end
        parts, safe, at = Lines(form.wrapper), 0, 0
        for raw in lines[:end].split(b"\n")[:-1]:
            parts.feed(at, raw)
            at += len(raw) + 1
            safe = safe if parts.is_open else at
        return safe or (end if end > 8 * LINE_BYTES else 0)

    def count(self, file: OpenFile, data: bytes, begin: int, added: Counts) -> None:
        """Count what a file has behind its place, in bytes that begin at `begin` of it."""
        place = file.place
        self.index += 1
        form = file.form_of(b"", self.form)
        part = Part(path=place.name, form=form, index=self.index, start=place.offset, end=begin + len(data))
        piece = Piece(data, begin)
        if self.sink is not None and not part.form.is_error_log:
            self.sink.begin(part.form)
            self._give(file, part, piece, added, self.sink)
            return
        session = Session(self.query if len(data) >= LEAST_FAST_BYTES else _in_python(self.query))
        session.take(cast(BinaryIO, piece), part, origin=Origin(place.name), carried=file.carried)
        added.merge(session.total())

    def _give(self, file: OpenFile, part: Part, piece: Piece, added: Counts, sink: Sink) -> None:
        """Count a part of an access log minute by minute: a sink that takes many requests at once must know their minute."""
        end = piece.end if part.end is None else part.end
        while part.start < end:
            is_long = self.query.is_fast and end - part.start >= LEAST_GIVEN_BYTES
            is_whole = part.form.wrapper in PARTIAL  # a message may go on in the next line
            cut = minute_end(part.form, piece, part.start, end) if is_long and not is_whole else end
            self._give_minute(file, structs.replace(part, end=cut), piece, added, sink)
            part = structs.replace(part, start=cut)

    def _give_minute(self, file: OpenFile, part: Part, piece: Piece, added: Counts, sink: Sink) -> None:
        """Count lines of (mostly) one minute, and give their requests to the sink: in bulk if it takes them, else one by one."""
        end = piece.end if part.end is None else part.end
        size_bytes = end - part.start
        if self.query.is_fast and size_bytes >= LEAST_GIVEN_BYTES and self._give_many(file, part, piece, added, sink):
            return
        middle = end if part.form.wrapper in PARTIAL else piece.after_line(part.start + size_bytes // 2)
        if self.query.is_fast and size_bytes >= LEAST_FAST_BYTES and part.start < middle < end:
            self._give_minute(file, structs.replace(part, end=middle), piece, added, sink)
            self._give_minute(file, structs.replace(part, start=middle), piece, added, sink)
            return
        session = Session(_in_python(self.query), each=sink.request)
        session.take(cast(BinaryIO, piece), part, origin=Origin(part.path), carried=file.carried)
        added.merge(session.total())

    def _give_many(self, file: OpenFile, part: Part, piece: Piece, added: Counts, sink: Sink) -> bool:
        """Count a part with the compiled reader; nothing is counted if the sink does not take the result."""
        single: list[tuple[LogRecord, int, str]] = []
        carried = copy.deepcopy(file.carried)
        session = Session(self.query, each=lambda *request: single.append(request))
        session.take(cast(BinaryIO, piece), part, origin=Origin(part.path), carried=carried)
        read, compiled = session.apart()
        if not sink.requests(compiled, piece.between(part.start, part.end)):
            return False
        for request in single:
            sink.request(*request)
        file.carried = carried
        added.merge(read)
        added.merge(compiled)
        return True


def _in_python(query: ScanQuery) -> ScanQuery:
    return structs.replace(query, is_fast=False)
