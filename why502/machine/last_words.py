"""Selects the log lines that give the reason why a program exited or could not start."""

from __future__ import annotations

from collections.abc import Iterable

from why502 import registry
from why502.logs.detect import parse_any
from why502.logs.reasons import tells_little
from why502.model.logs import Symptom
from why502.model.patterns import lazy
from why502.redaction import redact

LINES = 8
LENGTH = 300
_PROVES = frozenset(
    {Symptom.START_FAILED, Symptom.ADDRESS_IN_USE, Symptom.PROCESS_CRASHED, Symptom.OOM_KILLED, Symptom.DISK_FULL}
)
_HEALTHY = frozenset({None, Symptom.LISTENS_ON, Symptom.PROCESS_STARTED, Symptom.PROCESS_STOPPED})
_MANAGERS = frozenset(registry.products("why502.supervisors"))
_MANAGER_REPEATS = lazy(r"Failed to run '|Failed with result|status=\d|Failed to start |exit status")
_LOOKS_BAD = lazy(
    r"(?i)\b(?:error|fatal|exception|cannot|can't|could not|failed|denied|not found|missing|no such|invalid|refused)\b"
)
_MAP = lazy(r"[0-9a-f]{6,16}-[0-9a-f]{6,16} [r-][w-][x-][ps-] ")  # of a memory map in a crash report (proc_pid_maps(5))
_FRAME = lazy(r"^\s+(?:at |File \"|from |\^|~|\.\.\. )|^\s*[\^~]+\s*$|^\s*$")


def last_words(lines: Iterable[str]) -> tuple[str, ...]:
    """Return at most LINES lines, in order, secrets removed; the last one states the reason best.

    A manager's own lines ("Failed with result 'exit-code'") are used only if the program itself gave no reason.
    """
    ranked: list[tuple[int, str]] = []
    plain: list[str] = []
    killed: list[str] = []  # by a signal: a program says nothing then
    for line in lines:
        text = redact(line.strip())[:LENGTH]
        if not text or _FRAME.match(line) or _MAP.match(text):
            continue
        record = parse_any(line)
        if record is None or record.symptom is None:
            plain.append(text)
        elif record.symptom not in _HEALTHY:
            ranked.append((_rank(record.symptom, record.format, text), text))
            if record.symptom is Symptom.PROCESS_CRASHED and record.format in _MANAGERS:
                killed.append(text)
    own = [(rank, text) for rank, text in ranked if rank > 0]
    if not any(rank > 1 for rank, _ in own):  # the program's own lines match no known wording
        bad = [(2, text) for text in plain if _LOOKS_BAD.search(text)][-3:]
        own += bad or [(2, text) for text in killed[-1:]] or [(1, text) for text in plain[-2:]]
    informative = [pair for pair in own if pair[0] > 1] or own or ranked
    if not informative:
        return ()
    best = max(range(len(informative)), key=lambda i: (informative[i][0], i))
    reason = informative[best][1]
    kept = [text for text in dict.fromkeys(text for _, text in informative) if text != reason]
    return (*kept[1 - LINES :], reason)


def _rank(symptom: Symptom, form: str, text: str) -> int:
    if form in _MANAGERS:
        return 3 if symptom in (Symptom.START_FAILED, Symptom.OOM_KILLED) and not _MANAGER_REPEATS.search(text) else 0
    if tells_little(text):
        return 1
    return 3 if symptom in _PROVES else 2
