"""Separates application and service-manager lines that give a reason from lines that only report a failure."""

from __future__ import annotations

from why502.model.patterns import lazy

# Accurate, but they report only that something failed; the reason is in another line.
_TELLS_LITTLE = lazy(
    r"Worker failed to boot|App failed to load|Exception in worker process|exited with code \d|Node\.js v\d|Unhandled 'error' event"
    r"|unable to load app|no app loaded|APPLICATION FAILED TO START|Application run failed|Could not create the Java|FPM initialization"
    r"|Unable to open logs|Can't connect to|code: '|Application startup failed|npm (?:ERR!|error) "
)


def tells_little(text: str) -> bool:
    """Return whether a line reports only that something failed, while the reason is in another line."""
    return _TELLS_LITTLE.search(text) is not None
