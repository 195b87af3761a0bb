"""A page whose whole content stays up to date: made when it is asked for, and sent again when it changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from why502.serve.live import News
from why502.serve.rendering import Serving, gone, page, part, serving
from why502.serve.stock import NoStore


@dataclass(slots=True, frozen=True, kw_only=True)
class LivePage:
    """Such a page. `templates/NAME.html` is around `templates/NAME_live.html`.

    `view` returns what that shows, with the same in one sentence as "sentence"; it raises NoStore. `path`: of the page; its live
    part is at /live/NAME.
    """

    name: str
    path: str
    view: Callable[[Serving], dict[str, Any]]

    @property
    def routes(self) -> list[Route]:
        """Return the routes of the page and its live part."""
        return [Route(self.path, self._show), Route(f"/live/{self.name}", self._live)]

    def _show(self, request: Request) -> Response:
        return page(request, f"{self.name}.html", news=self._fresh(serving(request)))

    async def _live(self, request: Request) -> Response:
        shared = serving(request)
        return shared.live.stream(self.name, lambda: self._again(shared))

    def _again(self, shared: Serving) -> News:
        try:
            return self._fresh(shared)
        except NoStore as error:
            return gone(shared, error)

    def _fresh(self, shared: Serving) -> News:
        """Return the part as it is now. Raises NoStore."""
        return shared.live.fresh(self.name, lambda: self._news(shared))

    def _news(self, shared: Serving) -> News:
        view = self.view(shared)
        return News(part(shared, f"{self.name}_live.html", **view), view["sentence"])
