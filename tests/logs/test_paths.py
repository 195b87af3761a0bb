"""What clients were answered path by path: when it was served last, and how often it was refused since."""

from __future__ import annotations

from why502.logs.paths import Paths


def counted(*answers: tuple[int, float]) -> tuple[int, float | None]:
    """Return how often a path was refused since it was served, and when it was served last, of answers with their times."""
    paths = Paths()
    for status, at in answers:
        paths.add("shop", "GET /ws/chat", status, at, clients=(int(at),))
    (path,) = paths.value()
    return path.refused_since, path.last_served.timestamp() if path.last_served else None


def test_a_websocket_that_ends_serves_none_of_those_refused_since() -> None:
    assert counted((200, 10.0), (500, 20.0), (500, 21.0)) == (2, 10.0)
    assert counted((500, 20.0), (500, 21.0), (101, 30.0)) == (2, 30.0)
    assert counted((500, 20.0), (500, 21.0), (200, 30.0)) == (0, 30.0)


def test_the_order_of_parts_does_not_matter() -> None:
    parts = ((101, 30.0), (500, 20.0)), ((500, 21.0), (200, 5.0))
    found = []
    for one, other in (parts, parts[::-1]):
        total = Paths()
        for part in (one, other):
            paths = Paths()
            for status, at in part:
                paths.add("shop", "GET /ws/chat", status, at)
            total.merge(paths)
        found.append(total.value())
    assert found[0] == found[1]
