"""`why502 watch mitigate`: checks every member, and takes out one that keeps failing while others pass."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

from why502.cli.env import Exit
from why502.cli.look import look
from why502.cli.mitigations import start
from why502.cli.plan_output import work
from why502.fix import journal, mitigations
from why502.render.words import safe
from why502.session import fixing, mitigating
from why502.watch import mitigation
from why502.watch.checks.checker import one_round
from why502.watch.checks.members import planned
from why502.watch.checks.verdict import verdict_of
from why502.watch.model import CheckResult, MemberStatus

if TYPE_CHECKING:
    from why502.cli.env import Env
    from why502.model.snapshot import Snapshot
    from why502.watch.settings import Settings

REMEMBERED = timedelta(days=1)


def take_out(env: Env, settings: Settings, *, configs: tuple[str, ...], state: str | None, is_shown: bool) -> int:
    """Take out at most one member; return 0, or 2 if nothing could be checked. `is_shown`: only say which. Raises Why502Error."""
    by = work(env, state)
    if not is_shown:
        mitigating.expire(env.host(), by)
    (snapshot,) = look(env, configs=configs, probes=False)
    rounds = _rounds(env, settings, snapshot)
    if not rounds:
        env.write("No member could be checked.\n")
        return Exit.CANNOT
    where = journal.directory(state)
    since = env.now() - REMEMBERED

    def earlier(name: str) -> int:
        return sum(entry.mitigation == f"down {name}" and entry.began_at >= since for entry in journal.entries(where))

    found = mitigation.choices(rounds, snapshot, settings.mitigation, earlier)
    for one in found:
        what = "stays" if one.for_s is None else f"is taken out for {one.for_s:g} s"
        env.write(f"{safe(one.name)} {what}: {safe(one.reason)}\n")
    chosen = next((one for one in found if one.for_s is not None), None)
    if chosen is None or chosen.for_s is None or is_shown:
        return Exit.HEALTHY
    plan = fixing.with_diffs(mitigations.down(snapshot, chosen.name), env.machine().of(snapshot))
    start(env, plan, snapshot, by, env.now() + timedelta(seconds=chosen.for_s))
    return Exit.HEALTHY


def _rounds(env: Env, settings: Settings, snapshot: Snapshot) -> list[tuple[CheckResult, ...]]:
    """Return the results of the checks, round by round, until none fails or as many as a member may fail. [] if none was made."""
    checks = planned(snapshot, settings.checks)
    rounds = [one_round(env.host(), checks)]
    if all(result.is_unknown for result in rounds[0]):
        return []
    while len(rounds) < settings.mitigation.fall and any(verdict_of(one) is MemberStatus.DOWN for one in rounds[-1]):
        time.sleep(settings.checks.quick_s)
        rounds.append(one_round(env.host(), checks))
    return rounds
