"""What exceeds chance: a minute with too many failures, and a target that fails more often than its peers."""

from __future__ import annotations

import math

LEAST = 5  # minimum number of failures in a minute
_BAD_TIMES = 3.0  # factor by which the failure share must exceed that of the peers
_BAD_LEAST = 10
_BAD_SIGMAS = 4.0


def burst_limit(usual: float, span: int) -> float:
    """Return the number of failures in a minute that exceeds chance, three times the usual level, and LEAST.

    Chance: over `span` minutes the Poisson distribution with the usual mean reaches it once in ten such logs.
    """
    if usual > 100:
        return max(usual + 6 * math.sqrt(usual), 3 * usual)
    limit, exact, tail = 0, math.exp(-usual), 1.0
    while tail * span > 0.1:
        tail -= exact
        limit += 1
        exact *= usual / limit
    return max(limit, 3 * usual, LEAST)


def is_worse(failed: int, tried: int, others_failed: int, others: int) -> bool:
    """Return whether one target fails far more often than its peers.

    Shares are compared, not counts, so weights and canaries do not matter.
    """
    if not tried or not others or failed < _BAD_LEAST:
        return False
    mine, theirs, both = failed / tried, others_failed / others, (failed + others_failed) / (tried + others)
    spread = math.sqrt(both * (1 - both) * (1 / tried + 1 / others))
    return mine >= _BAD_TIMES * theirs and (mine - theirs) >= _BAD_SIGMAS * spread
