"""explain(): the meaning of a log line, a status, a product's code or a cause id, and the causes that may explain it.

A pure function of its text, except that the second line of a failed Apache connection is interpreted with the help of the
first.
"""

from __future__ import annotations

import re
from typing import Any

from why502.explanation import candidates, pasted
from why502.explanation.known import CAUSES, section
from why502.explanation.steps import Asked
from why502.gateways import codes
from why502.gateways.codes import Code, Product
from why502.gateways.statuses import STATUSES
from why502.logs.formats import named
from why502.model.explanation import Candidate, Explanation, Kind
from why502.model.finding import ASSERTED
from why502.model.logs import ROUTINE, LogRecord, Phase, Symptom
from why502.model.patterns import lazy
from why502.model.words import WORDS

_ALWAYS = ("at", "level", "errno", "phase", "target", "client", "server", "request", "status")
_MORE = (
    "code",
    "upstream_status",
    "duration_s",
    "group",
    "host",
    "protocol",
    "detail",
    "process",
    "process_pid",
    "unit",
    "file",
    "line",
)
_STATUS_LINE = lazy(
    r"(?:(?:HTTP(?:/\d(?:\.\d)?)?|status|error|code)[ :=]{1,3}){0,2}(\d{3})"
    r"(?: (?:Bad Gateway|Service (?:Temporarily )?Unavailable|Gateway Time-?out|Internal Server Error|Client Closed Request))?",
    re.IGNORECASE,
)


def product_of(name: str | None) -> str | None:
    """Return the product for a name or alias given to `--proxy`; None if none was given."""
    return codes.names().get(name, name) if name else None


def explain(text: str, proxy: str | None = None) -> Explanation:
    """Return the meaning of the text. `proxy`: the product that wrote the line or code, if known."""
    proxy = product_of(proxy)
    short = text.strip().strip("\"'`")
    if short.lower() in CAUSES:
        return _cause(text, short.lower())
    if len(short) <= 120:
        status = short if short in STATUSES else match[1] if (match := _STATUS_LINE.fullmatch(short)) else ""
        if status in STATUSES and proxy in (None, *_makers(status)):
            return _status(text, status, proxy)
        if found := _codes(short, proxy):
            return _code(text, found)
        if status in STATUSES:  # any gateway passes it on
            return _status(text, status, proxy)
    record = parse(text, proxy)
    return line(text, record) if record is not None else Explanation(input=text, proxy=proxy, message="not recognised")


def line(text: str, record: LogRecord) -> Explanation:
    """Return the meaning of a record parsed from that line."""
    failed = record.is_gateway_failure and record.symptom not in ROUTINE
    code = f"{record.status or 0:03d}"
    if record.symptom is Symptom.GATEWAY_STATUS and not record.causes and code in STATUSES:
        return _bare(text, record, code)
    found = candidates.of_record(record)
    failed |= _stops_the_start(record) and bool(found)
    best = found[0].cause if found and failed else None
    product = codes.product(record.proxy) if record.proxy else None
    steps = candidates.next_steps(best, Asked(target=record.target, protocol=record.protocol)) if best else ()
    return Explanation(
        input=text,
        kind=Kind.LOG_LINE,
        proxy=record.proxy,
        gateway_failure=failed,
        cause=best,
        candidates=found,
        fields=fields(record),
        message=_sentence(record, found if failed else (), product),
        next=tuple(dict.fromkeys((*steps[:3], *(product.next[:2] if product and failed else ())))),
        remedies=candidates.remedies(best) if best else (),
        references=_references(best) if best else (),
    )


def _stops_the_start(record: LogRecord) -> bool:
    """Return whether the message means that the gateway does not start, as opposed to keeping its previous configuration."""
    starts = record.phase in (Phase.CONFIG, Phase.STARTUP)
    return record.level == "emerg" or (starts and record.level in ("alert", "crit"))


def _bare(text: str, record: LogRecord, code: str) -> Explanation:
    """Return the meaning of an access log line with a status but without upstream fields: only the meaning of the status."""
    status = _status(text, code, record.proxy if record.proxy in _makers(code) else None)
    return Explanation(
        input=text,
        kind=Kind.LOG_LINE,
        proxy=record.proxy,
        gateway_failure=record.is_gateway_failure,
        cause=status.cause if record.is_gateway_failure else None,
        candidates=status.candidates,
        fields=fields(record),
        message=f"{status.message}; this line does not show the reason; the proxy's error log at that second does",
        next=status.next,
        references=status.references,
    )


def fields(record: LogRecord) -> dict[str, Any]:
    """Return the fields of a line, named as in the contract; nine are always present, None if the line lacks them."""
    found = {name: _plain(getattr(record, name)) for name in _ALWAYS}
    return found | {name: value for name in _MORE if (value := _plain(getattr(record, name))) is not None}


def _plain(value: Any) -> Any:
    if value is None or value == "":
        return None
    if isinstance(value, int | float):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _sentence(record: LogRecord, found: tuple[Candidate, ...], product: Product | None) -> str:
    row = product.codes.get(record.code) if product else None
    seen = WORDS.get(record.symptom, "") if record.symptom else ""
    what = row.message if row and row.message and row.symptom is record.symptom else seen or (row.message if row else "")
    who = record.proxy or record.program or record.format
    where = f" ({record.target or record.group})" if record.target or record.group else ""
    if not found:
        return f"{who}: {what or 'not a failure on the way to a backend'}{where}"
    if found[0].confidence < ASSERTED and record.symptom is Symptom.DENIED_BY_RULE:
        return f"{who}: {what}{where}; the line has no status, so the reason is unknown"
    return f"{who}: {what or 'the request failed'}{where}; most likely {found[0].message}"


def parse(text: str, proxy: str | None = None) -> LogRecord | None:
    """Return the record of a log line, parsed in the given product's formats if one is named; None if no format fits."""
    product = codes.product(proxy) if proxy else None
    for name in product.formats if product else ():
        form = named(name)
        if form is not None and (record := form.parse(text)) is not None and record.symptom is not None:
            return record
    return pasted.parse_any(text)


def _cause(text: str, name: str) -> Explanation:
    cause = CAUSES[name]
    return Explanation(
        input=text,
        kind=Kind.CAUSE,
        gateway_failure=True,
        cause=name,
        candidates=(Candidate(cause=name, layer=cause.layer, confidence=1.0, message=cause.message),),
        fields={
            "layer": cause.layer.value,
            "symptoms": [symptom.value for symptom in cause.symptoms],
            "is_effect_of": list(cause.explained_by),
        },
        message=cause.message,
        next=candidates.next_steps(name),
        remedies=candidates.remedies(name),
        notes=cause.page.strip(),
        references=_references(name),
    )


def _makers(status: str) -> tuple[str, ...]:
    """Return the products that send a status."""
    names = [maker.proxy for maker in STATUSES[status].makers]
    return tuple(
        dict.fromkeys(codes.names().get(name, name) for name in names if name not in ("any", "any backend", "curl"))
    ) or tuple(codes.names())


def _status(text: str, code: str, proxy: str | None) -> Explanation:
    status = STATUSES[code]
    makers = [
        maker
        for maker in status.makers
        if proxy is None or proxy == codes.names().get(maker.proxy, maker.proxy) or maker.proxy.startswith("any")
    ] or status.makers
    if proxy is None and len(makers) == 1:  # only one product sends it
        proxy = _makers(code)[0] if len(_makers(code)) == 1 else None
    product = codes.product(proxy) if proxy else None
    row = product.codes.get(code) if product else None
    found = candidates.ranked(row.causes, row.symptom) if row else candidates.of_status(maker.causes for maker in makers)
    return Explanation(
        input=text,
        kind=Kind.STATUS,
        proxy=proxy,
        gateway_failure=status.is_failure,
        cause=found[0].cause if found and status.is_failure else None,
        candidates=found,
        fields={
            "status": int(code),
            "made_by": [{"proxy": maker.proxy, "when": maker.when, "causes": list(maker.causes)} for maker in makers],
        },
        message=f"{code}: {status.title}",
        next=product.next if product else ("why502 diagnose", "why502 explain LINE (of the proxy's error log, at that second)"),
        references=product.references if product else (),
    )


def _codes(text: str, proxy: str | None) -> list[tuple[Product, Code]]:
    """Return the table rows for a short text, of the given product or of all; for several flags all rows."""
    found = [(product, row) for product, row in codes.find(text) if proxy in (None, product.name)]
    return found or [(product, row) for product, row in codes.find_composed(text) if proxy in (None, product.name)]


def _code(text: str, found: list[tuple[Product, Code]]) -> Explanation:
    product, row = found[0]
    ranked = candidates.ranked(tuple(name for name in row.causes if name in CAUSES), row.symptom)
    best = ranked[0].cause if ranked and row.is_gateway_failure else None
    others = [f"{other.title}: {code.message}" for other, code in found[1:]]
    return Explanation(
        input=text,
        kind=Kind.CODE,
        proxy=product.name,
        gateway_failure=row.is_gateway_failure,
        cause=best,
        candidates=ranked,
        fields={
            "code": row.code,
            "status": int(row.status) if row.status.isdigit() else None,
            "client_gets": row.status or None,
            "phase": row.phase.value if row.phase else None,
        },
        message=f"{product.title}, {row.code}: {row.message}",
        next=(*(candidates.next_steps(best)[:2] if best else ()), *product.next),
        remedies=candidates.remedies(best) if best else (),
        notes="\n".join(others),
        references=product.references,
    )


def _references(cause: str) -> tuple[str, ...]:
    return section(cause, "References")


__all__ = ["explain", "fields", "line", "parse", "product_of"]
