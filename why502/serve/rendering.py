"""Pages from templates. Every value that a template shows is first made safe (`why502.render.words.safe`), then escaped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

import jinja2
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse

from why502.model.logs import Symptom
from why502.model.words import words
from why502.render.plots import gauge, swatch
from why502.render.words import FAULT_DOMAINS, clock, safe
from why502.serve.live import Live, News
from why502.serve.machine import Machine
from why502.serve.navigation import Navigation
from why502.serve.replay import Replays
from why502.serve.settings import Settings
from why502.serve.stock import NoStore, Stock
from why502.serve.tools.running import Tools
from why502.version import __version__
from why502.watch.message import duration


@dataclass(slots=True, frozen=True, kw_only=True)
class Serving:
    """What all pages share; `serving(request)` returns it."""

    settings: Settings
    stock: Stock
    environment: jinja2.Environment
    navigation: tuple[Navigation, ...]
    now: Callable[[], datetime]
    live: Live
    replays: Replays
    machine: Machine
    tools: Tools = field(default_factory=Tools)

    def address(self, path: str, **query: object) -> Markup:
        """Return the address of a page, as `rendering.address` does."""
        return address(self.settings.base, path, **query)

    @property
    def host_name(self) -> str:
        """Return the name of this machine."""
        return self.settings.names[0] if self.settings.names else "this machine"


def serving(request: Request) -> Serving:
    """Return what all pages share."""
    found: Serving = request.app.state.serving
    return found


def environment(navigation: Sequence[Navigation], base: str) -> jinja2.Environment:
    """Return the templates' environment. `base`: the path below which browsers reach the pages, "" if there is none."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("why502.serve"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
    )
    made.globals |= {
        "navigation": tuple(navigation),
        "address": partial(address, base),
        "version": __version__,
        "fault_domains": FAULT_DOMAINS,
        "swatch": swatch,
        "gauge": gauge,
    }
    filters = (as_sent, spans, markup, number, milliseconds, clock, time, duration, lines)
    made.filters |= {each.__name__: each for each in filters}
    return made


def page(request: Request, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
    """Return a page. `here` is the path of the menu's entry that it belongs to."""
    shared = serving(request)
    here = request.url.path
    entry = next((one for one in shared.navigation if here == one.path or here.startswith(f"{one.path}/")), None)
    text = shared.environment.get_template(template).render(
        {"here": entry.path if entry else "", "host_name": shared.host_name, "has_token": bool(shared.settings.token), **context}
    )
    return HTMLResponse(text, status)


def part(shared: Serving, template: str, **context: Any) -> str:
    """Return a part of a page."""
    return shared.environment.get_template(template).render(context)


def gone(shared: Serving, error: NoStore) -> News:
    """Return the live part of a page whose store cannot be read now."""
    return News(part(shared, "store_gone.html", message=error.message, hint=error.hint), "The store cannot be read.")


def _shown(value: Any) -> Any:
    """Return a value as a template shows it: our own markup as it is, all else without secrets and control characters."""
    return value if isinstance(value, Markup | int | float) else safe(str(value))


def address(base: str, path: str, **query: object) -> Markup:
    """Return a path below `base` with its query, for an attribute. `path` is quoted; empty parts of the query are left out."""
    given = [(name, str(value)) for name, value in query.items() if value not in ("", None)]
    whole = quote(path, safe="/:@") + (f"?{urlencode(given)}" if given else "")
    return Markup(escape(f"{base}/{whole.lstrip('/')}"))  # noqa: S704 - escaped


def time(at: datetime | None) -> Markup:
    """Return a time as an element."""
    return Markup('<time datetime="{}">{}</time>').format(f"{at:%Y-%m-%dT%H:%M:%SZ}", clock(at)) if at else Markup("")


def lines(text: str) -> list[str]:
    """Return the lines of a text, each of which a template then shows."""
    return text.splitlines()


def markup(text: str) -> Markup:
    """Return markup of our own, such as a plot: it is escaped already."""
    return Markup(text)  # noqa: S704 - of render.plots


def number(value: float) -> str:
    """Return a number with thin spaces between thousands; below 10 with one decimal unless it is whole."""
    whole = value >= 10 or value == int(value)
    return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}") if whole else f"{value:.1f}"


def milliseconds(seconds: float) -> str:
    """Return a duration in ms, or in s from one second on."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms" if seconds >= 0.01 else f"{1000 * seconds:.1f} ms"


def symptom_words(symptom: str) -> str:
    """Return a symptom in words."""
    try:
        return words(Symptom(symptom))
    except ValueError:
        return symptom.replace("-", " ")


def spans(text: str) -> Markup:
    """Return a sentence of ours whose `quoted` parts are shown as code. It may repeat foreign text, so that all is escaped."""
    parts = safe(text).split("`")
    if len(parts) % 2 == 0:
        return Markup(escape("`".join(parts)))  # noqa: S704 - escaped
    quoted, plain = Markup("<code>{}</code>"), Markup("{}")
    return Markup("").join((quoted if number % 2 else plain).format(part) for number, part in enumerate(parts))


def as_sent(text: str) -> Markup:
    """Return a text that the client itself sent, to be sent again, in an attribute: escaped, and with its secrets."""
    return Markup(escape(text))  # noqa: S704 - escaped
