"""Diagnose an uploaded bundle, as `why502 diagnose --bundle` does."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from why502.model.errors import Why502Error
from why502.model.finding import Diagnosis
from why502.serve.navigation import Navigation
from why502.serve.rendering import page, serving
from why502.serve.shown_diagnosis import shown
from why502.serve.tools.orders import BundleOrder, Diagnosed
from why502.serve.uploads import FILE_BYTES, form

NAVIGATION = Navigation(
    title="Diagnose a bundle",
    path="/diagnose",
    order=70,
    is_tool=True,
    about="The diagnosis of a file that `why502 collect` wrote on another machine.",
)
BODY_BYTES = FILE_BYTES


async def diagnose(request: Request) -> Response:
    """Return the form, with the diagnosis if a bundle was sent."""
    if request.method != "POST":
        return _page(request)
    tools = serving(request).tools
    async with tools.place(), form(request) as given:
        try:
            contents = list(given.contents("bundle", "the bundle"))[:1]
            if not contents:
                raise Why502Error("no file was chosen", "Choose a bundle: a file that `why502 collect -o FILE` wrote.")
            answer = await tools.run(BundleOrder(), contents)
        except Why502Error as error:
            return _page(request, error=error)
    assert isinstance(answer, Diagnosed)
    return _page(request, found=answer.diagnosis, name=contents[0].name)


def _page(request: Request, *, found: Diagnosis | None = None, name: str = "", error: Why502Error | None = None) -> Response:
    return page(
        request,
        "diagnose.html",
        status=422 if error else 200,
        name=name,
        error=error,
        **shown(found),
    )


ROUTES = [Route("/diagnose", diagnose, methods=["GET", "POST"])]
