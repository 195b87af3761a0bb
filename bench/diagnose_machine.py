"""The cost of `why502 collect` and `why502 diagnose` on a machine with every component: systemd, supervisord, pm2, gunicorn,
two PHP-FPM.

    python bench/diagnose_machine.py [TIMES]

Prints the best and the worst wall time of several runs, and the largest memory. Run it as root on a machine that can boot a
container (systemd-nspawn).
"""

from __future__ import annotations

import sys

from why502.lab.faults import faults
from why502.lab.room import play


def main() -> int:
    """Return 1 if the best run takes 3 s or longer, or 150 MB or more."""
    fault = faults()["healthy-everything"]
    if missing := fault.missing():
        print(missing)
        return 0
    runs = [play(fault, "--measure")["costs"] for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 3)]
    too_much = False
    for command in ("collect", "diagnose"):
        times, sizes = [run[command][0] for run in runs], [run[command][1] for run in runs]
        print(f"why502 {command}: {min(times):.2f} to {max(times):.2f} s of wall time, {max(sizes) / 1e6:.0f} MB")
        too_much |= min(times) >= 3 or max(sizes) >= 150e6
    return 1 if too_much else 0


if __name__ == "__main__":
    sys.exit(main())
