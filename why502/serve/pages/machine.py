"""Diagnose this machine now, as `why502 diagnose` does; only where `why502 serve` runs as root, and with the token."""

from __future__ import annotations

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from why502.serve.machine import hindrance
from why502.serve.navigation import Navigation
from why502.serve.rendering import page, serving
from why502.serve.security import Refused
from why502.serve.shown_diagnosis import shown

NAVIGATION = Navigation(title="This machine", path="/machine", order=40, about="Diagnose this machine now.")


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
            raise Refused(503, "a diagnosis is already running", "Its result will be on this page within half a minute.")
        return RedirectResponse(str(shared.address("/machine")), 303)
    newest = None if reason else shared.machine.newest
    return page(
        request,
        "machine.html",
        reason=reason,
        newest=newest,
        is_busy=shared.machine.is_busy,
        **shown(newest.diagnosis if newest else None),
    )


ROUTES = [Route("/machine", machine, methods=["GET", "POST"])]
