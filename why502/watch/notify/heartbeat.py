"""The ping of a dead man's switch: another service raises the alarm when it stops."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Annotated

from msgspec import Meta

from why502.watch.notify.base import Undelivered, check_path, check_url
from why502.watch.notify.http import HttpSettings, request, secret_url


class HeartbeatSettings(HttpSettings, frozen=True, kw_only=True):
    """The URL that is asked for by GET, in `url_file` if it has a secret in it, and how often."""

    name: str = "heartbeat"
    url: str = ""
    url_file: str = ""
    interval_s: Annotated[float, Meta(ge=10, le=3600)] = 60.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.url) == bool(self.url_file):
            raise ValueError("set either url or url_file")
        if self.url:
            check_url("url", self.url)
        check_path("url_file", self.url_file)


class Heartbeat:
    """Pings a URL while everything makes progress. `late` returns the names of the threads that do not.

    `note` is told when a ping fails for the first time, and when one succeeds again.
    """

    def __init__(
        self, settings: HeartbeatSettings, late: Callable[[], tuple[str, ...]], note: Callable[[str], None] = lambda _: None
    ) -> None:
        self._settings = settings
        self._late = late
        self._note = note
        self._reason = ""

    def run(self, stop: threading.Event) -> None:
        """Ping until `stop` is set."""
        while not stop.is_set():
            self.ping()
            stop.wait(self._settings.interval_s)

    def ping(self) -> bool:
        """Ping once, unless a thread makes no progress. Return whether the ping succeeded."""
        settings = self._settings
        reason = ""
        if late := self._late():
            reason = f"not pinged: no progress in {', '.join(late)}"
        else:
            try:
                request("GET", secret_url(settings.url_file) if settings.url_file else settings.url, None, {}, settings)
            except Undelivered as error:
                reason = error.reason
        if bool(reason) != bool(self._reason):
            self._note(f"heartbeat: {reason or 'succeeds again'}")
        self._reason = reason
        return not reason
