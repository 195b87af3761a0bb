"""The store of `why502 watch`: one SQLite file with everything that must survive a restart.

`Store.commit` writes how far each log was read, what was counted from it, the incidents, and the messages about them in one
transaction: after a crash nothing is missing and nothing is counted twice.
"""

from why502.watch.store.durations import BOUNDS_S, Durations
from why502.watch.store.reading import IncidentTotals, LogTotals, Totals
from why502.watch.store.series import OTHER, Counted, Key, Part, Ring
from why502.watch.store.store import Store

__all__ = [
    "BOUNDS_S",
    "OTHER",
    "Counted",
    "Durations",
    "IncidentTotals",
    "Key",
    "LogTotals",
    "Part",
    "Ring",
    "Store",
    "Totals",
]
