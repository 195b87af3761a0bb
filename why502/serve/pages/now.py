"""The first page: is anything wrong?"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from why502.serve.navigation import Navigation
from why502.serve.rendering import page, serving

NAVIGATION = Navigation(title="Now", path="/", order=10, about="Is anything wrong?")


def now(request: Request) -> Response:
    """Return the page."""
    with serving(request).stock.reading() as store:
        open_ = store.incidents(is_open=True)
    return page(request, "now.html", incidents=open_)


ROUTES = [Route("/", now)]
