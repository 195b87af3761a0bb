"""Counts a log's rows into its truth."""

from collections import Counter
from datetime import UTC, datetime

from .product import Format
from .scene import BAD, NO_TARGET, NOBODY, NOISE, Row, Scene
from .shape import GATEWAY_FAILURES, Truth


class Tally:
    """Adds blocks of rows by their numbers; the texts are looked up once, at the end."""

    def __init__(self, scene: Scene, form: Format) -> None:
        self.scene = scene
        self.form = form
        self.truth = Truth(format=scene.shape.format, wrapper=scene.shape.wrapper)
        self.minutes: Counter[int] = Counter()
        self.failed_minutes: Counter[int] = Counter()
        self.targets: Counter[tuple[int, int]] = Counter()
        self.firsts: Counter[tuple[int, int]] = Counter()
        self.routes: Counter[tuple[int, int]] = Counter()
        self.clients: Counter[int] = Counter()
        self.steps: Counter[int] = Counter()
        self.times: list[int] = []

    def add(self, rows: list[Row]) -> None:
        """Counts these rows."""
        form, truth = self.form, self.truth
        if form.kind in ("errors", "events"):
            told = [row for row in rows if row.request >= 0 and row.status in form.failing]
        else:
            told = [row for row in rows if row.request != NOISE]
        truth.noise += len(rows) - len(told)
        if form.kind_of is not None:
            truth.kinds.update(map(form.kind_of, told))
        self.targets.update((row.target, row.status) for row in told)
        if told and form.has_own_time:
            self.times += [min(row.at_ms for row in told), max(row.at_ms for row in told)]
        if form.kind == "events":
            return
        self.add_failures(told)
        if form.has_client:
            self.clients.update(row.client for row in told if form.has_bad_client or row.request != BAD)
        self.routes.update((row.request, row.status) for row in told)
        if form.kind != "errors":
            self.add_requests(told)

    def add_failures(self, told: list[Row]) -> None:
        """Counts the failures among these."""
        if self.form.kind == "connections":
            return
        failed = [row for row in told if row.status in GATEWAY_FAILURES]
        self.truth.failures.update(row.status for row in failed)
        self.failed_minutes.update(row.at_ms // 60_000 for row in failed)

    def add_requests(self, told: list[Row]) -> None:
        """Counts these requests."""
        form, truth = self.form, self.truth
        truth.requests += len(told)
        truth.bad_requests += sum(row.request == BAD for row in told)
        self.minutes.update(row.at_ms // 60_000 for row in told)
        if form.kind == "access":
            truth.statuses.update(row.status for row in told)
            truth.aborted += sum(row.status == form.aborted for row in told)
        if form.step_us:
            step = form.step_us
            if form.untimed:
                self.steps.update(row.us // step for row in told if row.status not in form.untimed)
            else:
                self.steps.update(row.us // step for row in told)
        if form.has_attempts and self.scene.shape.attempts > 1:
            retried = [row for row in told if row.first >= 0]
            truth.retried += len(retried)
            truth.recovered += sum(row.status not in GATEWAY_FAILURES for row in retried)
            self.firsts.update((row.first, row.first_status) for row in retried)

    def finish(self, lines: int, size_bytes: int) -> Truth:
        """The truth, with texts for numbers."""
        truth, form, scene = self.truth, self.form, self.scene
        truth.lines, truth.size_bytes = lines, size_bytes
        truth.minutes = Counter({minute_text(minute): count for minute, count in sorted(self.minutes.items())})
        truth.failed_minutes = Counter({minute_text(minute): count for minute, count in sorted(self.failed_minutes.items())})
        truth.clients = Counter({scene.client[number]: count for number, count in self.clients.items()})
        truth.durations_us = Counter({step * form.step_us: count for step, count in self.steps.items()})
        self.name_targets()
        if form.has_route:
            for (request, status), count in self.routes.items():
                if request >= 0:
                    route = f"{scene.method(request)} {scene.path[request]}"
                    truth.routes.setdefault(route, Counter())[status] += count
        if self.times:
            truth.first, truth.last = (self.moment(at_ms) for at_ms in (min(self.times), max(self.times)))
        return truth

    def name_targets(self) -> None:
        """Fills the truth's targets."""
        form, targets = self.form, self.truth.targets
        if form.target is None:
            return
        has_status = form.kind != "connections"
        for (number, status), count in self.targets.items():
            name = form.nobody if number == NOBODY else None if number == NO_TARGET else form.target(self.scene.targets[number])
            if name is not None:
                targets.setdefault(name, Counter())[form.attempt_status(status) if has_status else 0] += count
        for (number, status), count in self.firsts.items():
            targets.setdefault(form.target(self.scene.targets[number]), Counter())[status] += count

    def moment(self, at_ms: int) -> datetime:
        """The time in the resolution that the line has."""
        return datetime.fromtimestamp((at_ms - at_ms % self.form.clock_ms) / 1000, UTC)


def minute_text(minute: int) -> str:
    """`2026-03-04T05:06Z` by minutes since 1970."""
    return datetime.fromtimestamp(minute * 60, UTC).strftime("%Y-%m-%dT%H:%MZ")
