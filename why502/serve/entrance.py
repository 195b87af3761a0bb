"""Where the token is given: a form, answered with a cookie."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from why502.serve.rendering import page, serving
from why502.serve.security import COOKIE, COOKIE_S, ENTRANCE, cookie_of, is_token


async def ask(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request without the token: ask for it."""
    request = Request(scope, receive)
    response: Response
    if scope["path"].startswith("/api/"):
        response = JSONResponse({"error": "the token is missing", "hint": "Send it as `Authorization: Bearer TOKEN`."}, 401)
        response.headers["www-authenticate"] = "Bearer"
    else:
        # A browser holds back the cookie (SameSite=Strict) when a link of another site was followed, as in a chat: asked again
        # by this page, it sends it.
        is_link = request.headers.get("sec-fetch-site") == "cross-site" and scope["method"] == "GET"
        response = _form(request, _inside(request.url.path, request.url.query), status=401, is_link=is_link)
    await response(scope, receive, send)


def _form(request: Request, target: str, *, status: int = 200, is_wrong: bool = False, is_link: bool = False) -> Response:
    return page(request, "entrance.html", status=status, target=target, is_wrong=is_wrong, is_link=is_link)


async def enter(request: Request) -> Response:
    """Take the token."""
    if request.method != "POST":
        return _form(request, "/")
    form = await request.form(max_files=0, max_fields=2)
    given, target = form.get("token"), form.get("target")
    settings = serving(request).settings
    inside = _inside(target if isinstance(target, str) else "/")
    if not isinstance(given, str) or not is_token(given.strip(), settings):
        return _form(request, inside, status=403, is_wrong=True)
    response = RedirectResponse(f"{settings.base}{inside}", 303)
    response.set_cookie(
        COOKIE,
        cookie_of(settings),
        max_age=COOKIE_S,
        httponly=True,
        samesite="strict",
        path=settings.base or "/",
        secure=settings.url.startswith("https:"),
    )
    return response


def _inside(path: str, query: str = "") -> str:
    """Return an address of this server: whatever else it was, the first page."""
    is_ours = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and path.isascii()
    return f"{path}{f'?{query}' if query else ''}" if is_ours else "/"


ROUTES = [Route(ENTRANCE, enter, methods=["GET", "POST"])]
