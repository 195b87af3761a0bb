"""Diagnose this machine now, as `why502 diagnose` does; only where `why502 serve` runs as root, and with the token."""

from __future__ import annotations

import shlex

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from why502.render.words import asserted, considered, diff_lines, headlines, how_often, where
from why502.serve.machine import hindrance
from why502.serve.navigation import Navigation
from why502.serve.rendering import page, serving
from why502.serve.security import Refused

NAVIGATION = Navigation(title="This machine", path="/machine", order=40, about="Diagnose this machine now.")
TONES = {"healthy": "good", "problem": "bad", "unknown": "warn"}


async def machine(request: Request) -> Response:
    """Return the newest diagnosis; make one if that is asked for. Raises Refused."""
    shared = serving(request)
    reason = hindrance(shared.settings)
    if request.method == "POST":
        if reason:
            raise Refused(403, "this machine cannot be diagnosed from here", reason)
        form = await request.form(max_files=0, max_fields=1)
        is_probing = form.get("probes") != "none"
        if not await run_sync(lambda: shared.machine.diagnose(is_probing=is_probing)):
            raise Refused(503, "a diagnosis is being made already", "Its result is on this page within half a minute.")
        return RedirectResponse("/machine", 303)
    newest = None if reason else shared.machine.newest
    found = newest.diagnosis if newest else None
    return page(
        request,
        "machine.html",
        reason=reason,
        newest=newest,
        is_busy=shared.machine.is_busy,
        found=found,
        tone=TONES[found.verdict.value] if found else "",
        headlines=headlines(found) if found else [],
        asserted=asserted(found) if found else (),
        considered=considered(found) if found else (),
        how_often=how_often,
        where=where,
        diff_lines=diff_lines,
        command=shlex.join,
    )


ROUTES = [Route("/machine", machine, methods=["GET", "POST"])]
