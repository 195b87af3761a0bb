"""Varnish: the default output of varnishncsa."""

from .apache import escape
from .product import HOST, Format, Lines, clf_times
from .scene import Memo, Row, Scene


def ncsa(scene: Scene) -> Lines:
    """`%h %l %u %t "%r" %s %b "%{Referer}i" "%{User-agent}i"`."""
    times, client = clf_times(scene), scene.client
    requests = Memo(lambda number: f"{scene.method(number)} http://{HOST}{escape(scene.uri[number])} HTTP/1.1")
    agents = [escape(agent) or "-" for agent in scene.agents]

    def line(row: Row) -> str:
        return f'{client[row.client]} - - [{times[row.at_ms // 1000]}] "{requests[row.request]}" {row.status} {row.size} "-" "{agents[row.agent]}"'

    def bad(row: Row) -> str:
        return f'- - - [{times[row.at_ms // 1000]}] "- http://localhost HTTP/1.0" 400 0 "-" "-"'

    return Lines(line, bad)


FORMATS = (
    Format(
        name="varnish-ncsa", tag="varnishncsa", prepare=ncsa, failing=(503,), clock_ms=1000, stamps_start=True, has_bad_client=False
    ),
)  # fmt: skip
