"""Responses that broke off although the application had decided: its refusals and errors of requests that it did not read."""

from __future__ import annotations

from why502.model.logs import Tally

REFUSED, OWN_ERROR = 400, 500


def cut_answer(tally: Tally) -> str:
    """Return a message that the response which broke off was the application's own refusal or error; "" if it was not.

    A server that answers before it has read the whole request breaks the connection with what it did not read.
    """
    if tally.status is None or not REFUSED <= tally.status <= OWN_ERROR:
        return ""
    whose = "error" if tally.status == OWN_ERROR else "refusal"
    return f"what was cut off is the application's own {whose}: the client had received the response header with {tally.status}"
