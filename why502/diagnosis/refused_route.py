"""A route whose clients are not served, why, and how to say it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from why502.model.config import Position
from why502.model.target import Target

HEADERS_TOO_LARGE = "431"  # RFC 6585, 5; nginx, Apache and HAProxy answer 400 instead


class Reason(StrEnum):
    """Why a route's clients are refused, as far as the answers show it."""

    APPLICATION = "application"  # it answers 500
    LIMIT = "limit"  # the request is larger than a limit
    REFUSAL = "refusal"  # the backend does not know the request or does not allow it
    DENIAL = "denial"  # a rule of the proxy refuses everyone
    WEBSOCKET = "websocket"  # the upgrade is refused
    CUT = "cut"  # idle upgraded connections are closed


@dataclass(frozen=True, slots=True)
class Unserved:
    """A route whose clients are not served."""

    reason: Reason
    refused: int
    requests: int
    statuses: tuple[str, ...] = ()  # most frequent first
    request: str = ""  # the one refused most often
    server: str = ""
    location: str = ""
    at: Position | None = None
    target: Target | None = None
    last: datetime | None = None
    is_over: bool = False
    has_closed: bool = False  # what it refuses was served before in the window, and none of it since
    sharing: tuple[Target, ...] = ()  # if no single target is known: those whose applications report such errors

    def is_on(self, target: Target | None) -> bool:
        """Return whether a target's application may have answered so; a limit is the proxy's own, None."""
        if self.reason is Reason.LIMIT:
            return target is None
        return self.target == target if target is None or self.target is not None else target in self.sharing

    @property
    def is_of_application(self) -> bool:
        """Return whether the application itself answers with an error now."""
        return self.reason is Reason.APPLICATION and not self.is_over

    @property
    def is_of_backend_limit(self) -> bool:
        """Return whether the backend currently rejects request headers as too large (431). The gateways whose routes are known by
        path never send that status.
        """
        return (
            self.reason is Reason.LIMIT and self.statuses[:1] == (HEADERS_TOO_LARGE,) and self.at is not None and not self.is_over
        )

    @property
    def is_of_refusal(self) -> bool:
        """Return whether a backend that is known refuses nearly all requests of a route now."""
        return self.reason is Reason.REFUSAL and self.target is not None and not self.is_over

    @property
    def is_of_denial(self) -> bool:
        """Return whether a rule of a gateway behind another one refuses everyone now."""
        return self.reason is Reason.DENIAL and self.target is not None and not self.is_over

    @property
    def is_of_upgrade(self) -> bool:
        """Return whether WebSockets do not open now."""
        return self.reason is Reason.WEBSOCKET and not self.is_over

    @property
    def where(self) -> str:
        """Return the route in words."""
        if self.location:
            return f"{f'{self.server}, ' if self.server else ''}location {self.location}"
        return self.server or "this gateway"

    @property
    def message(self) -> str:
        """Return one sentence about what clients get."""
        if self.reason is Reason.CUT:
            return (
                f"{self.refused} WebSocket connections were cut because they were idle for longer than the proxy's read timeout"
            )
        share = f"{self.refused}{f' of {self.requests}' if self.requests else ''} requests to {self.where}"
        status = "/".join(self.statuses)
        example = f", most often {self.request}" if self.request else ""
        on = f" on {self.target}" if self.target else ""
        whose = {
            Reason.APPLICATION: f"the application{on} itself answers {share} with {status}{example}",
            Reason.LIMIT: f"{share} exceed a limit and are answered {status}{example}",
            Reason.REFUSAL: f"{share} are rejected with {status}{f' by {self.target}' if self.target else ''}{example}",
            Reason.DENIAL: f"a rule of the proxy rejects {share} with {status}, and since it began to, everyone{example}",
            Reason.WEBSOCKET: f"WebSockets do not open: {share} are answered {status} instead of 101{example}",
        }[self.reason]
        return f"{whose} (resolved)" if self.is_over else whose
