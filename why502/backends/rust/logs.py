"""Messages of a Rust program that panics or cannot listen (library/std/src/panicking.rs, io::Error's Debug)."""

from __future__ import annotations

from why502.logs.phrase_format import of_phrases
from why502.logs.phrases import Phrase
from why502.model.logs import Phase, Symptom
from why502.model.patterns import lazy

NAME = "rust"
_START = Phase.STARTUP
_STACK = lazy(r"^note: run with `RUST_BACKTRACE=1`|^stack backtrace:$")
PHRASES = (
    Phrase("kind: AddrInUse", r"(?P<detail>code: (?P<errno>\d{1,20}), kind: AddrInUse)", Symptom.ADDRESS_IN_USE, _START),
    Phrase("thread 'main'", r"(?P<detail>thread 'main' (?:\(\d{1,20}\) )?panicked at .*)", Symptom.PROCESS_CRASHED),
    Phrase("' panicked at ", r"(?P<detail>thread '[^']{0,255}' panicked at .*)", Symptom.APPLICATION_ERROR),
    Phrase("memory allocation of ", r"^(?P<detail>memory allocation of \d{1,20} bytes failed)", Symptom.PROCESS_CRASHED),
    Phrase("has overflowed its stack", r"(?P<detail>thread '[^']{0,255}' has overflowed its stack)", Symptom.PROCESS_CRASHED),
)
MARKS, fits, parse = of_phrases(NAME, PHRASES, _STACK)
