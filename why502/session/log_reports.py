"""A report on logs: from what was asked, as it was written, to what the lines are asked."""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import structs

from why502.model.base import Value
from why502.model.errors import HostError, Why502Error
from why502.session.log_options import BY

if TYPE_CHECKING:
    from why502.host.base import Host
    from why502.logs.scan.cause_rows import Meaning
    from why502.logs.scan.work import ScanQuery


class Question(Value, frozen=True, kw_only=True):
    """What a user asks of the logs, as the options of `why502 logs` write it; "" for what is not asked."""

    since: str = ""
    until: str = ""
    only: str = "all"
    where: tuple[str, ...] = ()
    by: str = ""


def ask(question: Question, now: datetime, host: Host, *, is_exact: bool = False, is_fast: bool = True) -> ScanQuery:
    """Return what every line is asked. Times without a zone are of the host. Raises Why502Error."""
    from why502.logs.scan import fields
    from why502.logs.scan.work import ScanQuery
    from why502.session.window import moment

    since = moment(question.since, now, "--since") if question.since else None
    until = moment(question.until, now, "--until") if question.until else None
    if since and until and since > until:
        raise Why502Error("--since is later than --until", "Swap the two times.")
    localtime = b""
    with contextlib.suppress(HostError):
        localtime = host.read("/etc/localtime", limit_bytes=1 << 18)
    found = ScanQuery(
        localtime=localtime,
        only=question.only.replace("all", ""),
        where=tuple(map(fields.condition, question.where)),
        by=fields.name_of(question.by) if question.by and question.by not in BY else "",
        is_exact=is_exact,
        is_fast=is_fast,
    )
    limits = {name: int(at.timestamp()) for name, at in (("since", since), ("until", until)) if at is not None}
    return structs.replace(found, **limits)


def means(symptom: str, cause: str) -> Meaning:
    """Return the meaning of a symptom: the cause that its line names, or else the usual one."""
    from why502.session.usual_causes import table

    return table().meaning(symptom, cause)
