"""The live diagnosis of this machine: in a process of its own, one at a time, ended after a time limit. It changes nothing."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from why502.model.errors import Why502Error
from why502.model.finding import Diagnosis
from why502.serve.settings import Settings
from why502.watch import settings as watch_settings
from why502.watch.diagnosing import Overdue, Process
from why502.watch.diagnosis_process import Looked, Order


@dataclass(slots=True, frozen=True, kw_only=True)
class Made:
    """What came of the newest diagnosis. `reason`: why there is none."""

    at: datetime
    diagnosis: Diagnosis | None = None
    reason: str = ""


def hindrance(settings: Settings, uid: int | None = None) -> str:
    """Return why this machine cannot be diagnosed on request; "" if it can.

    Whoever reaches a local address may be any user of the machine, and a diagnosis by root shows what only root can read: so the
    token is asked for, also there.
    """
    if (os.geteuid() if uid is None else uid) != 0:
        return "`why502 serve` must run as root for this, because a diagnosis reads files and processes of other users."
    if not settings.token:
        return "This needs a token, so that only its holders can start a diagnosis: start `why502 serve` with --token-file FILE."
    return ""


class Machine:
    """Makes diagnoses, one at a time, and keeps the newest."""

    def __init__(self, settings: Settings, now: Callable[[], datetime], run: Callable[[Order], Looked] | None = None) -> None:
        """Make it. `run` replaces the child process."""
        self._settings, self._now = settings, now
        self._process = Process()
        self._run = run or self._process.run
        self._busy = threading.Lock()
        self.newest: Made | None = None

    @property
    def is_busy(self) -> bool:
        """Return whether a diagnosis is being made."""
        return self._busy.locked()

    def diagnose(self, *, is_probing: bool) -> bool:
        """Make a diagnosis, within the time limit of the process. Return False if another one is being made."""
        if not self._busy.acquire(blocking=False):
            return False
        try:
            self.newest = self._made(is_probing=is_probing)
        finally:
            self._busy.release()
        return True

    def _made(self, *, is_probing: bool) -> Made:
        try:
            gateways = watch_settings.read(self._settings.watch_settings).gateways
            looked = self._run(Order(configs=gateways.configs, logs=gateways.logs, is_probing=is_probing))
        except (Overdue, Why502Error, OSError) as error:
            return Made(at=self._now(), reason=str(error))
        return Made(at=self._now(), diagnosis=looked.diagnosis, reason=looked.reason)

    def close(self) -> None:
        """End what runs."""
        self._process.end()
