"""The section `[metrics]` of the settings of `why502 watch`."""

from __future__ import annotations

from pathlib import Path

from why502.model.base import Value
from why502.model.errors import Why502Error
from why502.watch import listening

LISTEN = "127.0.0.1:9502"
_HINT = 'Give an address and a port (127.0.0.1:9502, [::1]:9502), a Unix socket (unix:/run/why502/metrics.sock), or "" for none.'


class MetricsSettings(Value, frozen=True, kw_only=True):
    """Where the metrics go.

    `listen`: the address of `/metrics` and `/healthz`; "" for none. `textfile`: a file for node_exporter's textfile collector;
    its name ends in `.prom`. `otlp`: the URL of an OpenTelemetry receiver, such as http://127.0.0.1:4318/v1/metrics.
    `interval_s`: how often the file is written and the receiver is sent to.
    """

    listen: str = LISTEN
    textfile: str = ""
    otlp: str = ""
    interval_s: float = 15.0

    def check(self) -> None:
        """Check the values. Raises Why502Error."""
        if self.listen:
            address(self.listen)
        if self.textfile and not (self.textfile.startswith("/") and self.textfile.endswith(".prom")):
            raise Why502Error(
                f"metrics.textfile: {self.textfile!r} is not an absolute path that ends in .prom",
                "node_exporter reads files named *.prom in the directory given with --collector.textfile.directory.",
            )
        if self.otlp and not self.otlp.startswith(("http://", "https://")):
            raise Why502Error(
                f"metrics.otlp: {self.otlp!r} is not an http:// or https:// URL", "For example http://127.0.0.1:4318/v1/metrics."
            )
        if not 1 <= self.interval_s <= 300:
            raise Why502Error(f"metrics.interval_s: {self.interval_s:g} is not between 1 and 300", "15 is usual.")


def address(text: str) -> tuple[str, int] | Path:
    """Return the address and port to listen on, or the path of a Unix socket. Raises Why502Error."""
    return listening.address(text, "metrics.listen", _HINT)
