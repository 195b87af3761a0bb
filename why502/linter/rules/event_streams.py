"""Server-sent events behind a buffering proxy."""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.model.finding import Risk, Severity
from why502.model.patterns import lazy

_EVENTS = lazy(r"(?:^|[/_-])(?:sse|events?|eventsource|event-stream|event_stream)(?:$|[/_-])")


@rule(185, "events-buffered", Severity.NOTE, "proxy-timeout-too-short")
def buffered(deployment: Deployment) -> Iterator[Risk]:
    """A location has the name of an event stream, but responses are buffered.

    nginx collects the response until a buffer is full: events arrive late or never, unless the application sends
    `X-Accel-Buffering: no`.
    """
    for route in deployment.routes:
        if route.directive != "proxy_pass" or not _EVENTS.search(route.location.split(" ")[-1]):
            continue
        setting = route.settings.get("proxy_buffering", ())
        if not setting or setting[-1].args != ("off",):
            yield risk(f"the events of {route.location} wait in a buffer", route.at, "`proxy_buffering off;` in this location")
