"""The access logs that Envoy's configuration names.

Sources: api/envoy/config/accesslog/v3/accesslog.proto; api/envoy/extensions/access_loggers/{file,stream}/v3;
source/server/options_impl_base.cc (--file-flush-interval-msec: 10 s).
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from why502.config.yaml_text import Item
from why502.gateways.envoy.config.resources import kind_of
from why502.model.config import Escape, LogKind, LogPlace, LogTarget

FLUSH_S = 10.0
_STREAMS = {
    "StdoutAccessLog": "/dev/stdout",
    "StderrAccessLog": "/dev/stderr",
}
_OUTPUTS = ("/dev/stdout", "/proc/self/fd/1", "/dev/fd/1")
_ERRORS = ("/dev/stderr", "/proc/self/fd/2", "/dev/fd/2")


def logs(written: Item, server: str = "") -> Iterator[LogTarget]:
    """Yield the logs in a list of `access_log`. What goes to a service elsewhere is not on this machine."""
    for log in written:
        config = log["typed_config"]
        path = config["path"].text or _STREAMS.get(kind_of(config), "")
        if not path:
            continue
        text, escape = _format(config)
        is_stream = path in _OUTPUTS + _ERRORS
        yield LogTarget(
            kind=LogKind.ERROR if path in _ERRORS else LogKind.ACCESS,  # of a stream, which one it is
            path="" if is_stream else path,
            goes_to=LogPlace.STDERR if is_stream else LogPlace.FILE,
            format=text,
            escape=escape,
            flush_s=0.0 if is_stream else FLUSH_S,
            condition=_condition(log["filter"]),
            server=server,
            at=config["path"].at or log.at,
        )


def _format(config: Item) -> tuple[str, Escape]:
    """Return the format of a log: its text, or its members as JSON; "" for the default."""
    form = config["log_format"]
    members = form["json_format"] or config["json_format"] or config["typed_json_format"]
    if members:
        return json.dumps(_plain(members), separators=(",", ":")), Escape.JSON
    return form["text_format_source"]["inline_string"].text or form["text_format"].text or config["format"].text, Escape.NONE


def _plain(item: Item) -> object:
    if item.members:
        return {name: _plain(each) for name, each in item.members.items()}
    return item.text or [_plain(each) for each in item] or None


def _condition(written: Item) -> str:
    """Return the name of the filter that a request must pass to be logged; "" without one."""
    return next(iter(written.members), "")
