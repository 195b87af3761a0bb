"""Akamai: the class (the number before the point) of the code on its error page and in its log."""

from __future__ import annotations

from why502.gateways.codes import Code, Product, code, table
from why502.model.logs import Symptom
from why502.model.patterns import lazy

_CODE = lazy(r"(\d{1,2})\.(?:\d{1,10}|x{1,2})(?:\.[\w.]{1,100})?")

PRODUCT = Product(
    name="akamai",
    title="Akamai",
    about="The reference on the error page and the error code in the log begin with a class. The part after the point varies.",
    codes=table(
        code("1.xx", "the origin did not answer in time (120 s)", Symptom.READ_TIMED_OUT, "backend-too-slow", "504"),
        code("3.xx", "reading from the origin failed", Symptom.CLOSED_BEFORE_HEADER, "premature-close invalid-response", "502"),
        code("4.xx", "the request could not be sent", Symptom.SEND_FAILED, "connection-reset", "502"),
        code("6.xx", "the origin refuses the connection", Symptom.CONNECT_REFUSED, "backend-not-running connect-rejected", "503"),
        code("11.xx", "the origin's name does not resolve", Symptom.NAME_NOT_FOUND, "dns-host-not-found", "503"),
        code("15.xx", "the origin sent an empty response", Symptom.CLOSED_BEFORE_HEADER, "premature-close", "502"),
        code("18.xx", "denied by a rule", Symptom.DENIED_BY_RULE, "denied-by-rule", "403", failure=False),
        code("27.xx", "the client disconnected", Symptom.CLIENT_CLOSED, "client-closed-request", "000"),
        code("30.xx", "the TLS handshake with the origin failed", Symptom.TLS_FAILED, "tls-handshake-failed tls-verify-failed", "502 or 503"),
        code("97.xx", "no answer to the connection attempt", Symptom.CONNECT_TIMED_OUT, "connect-timeout", "504"),
    ),
    next=("translate the reference in the control centre's diagnostic tools", "request the origin directly, with the Host header that it expects"),
)  # fmt: skip


def composed(text: str) -> list[Code]:
    """Return the row of a code's class, the number before the point."""
    match = _CODE.fullmatch(text)
    row = PRODUCT.codes.get(f"{match[1]}.xx") if match else None
    return [row] if row else []
