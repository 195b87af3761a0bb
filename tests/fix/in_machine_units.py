"""Run under its own systemd: the unit of a target is started, unmasked or enabled; undo restores its state. Usage: STATE"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from shop import Shop, shop

UNIT = Path("/usr/lib/systemd/system/shop-app.service")
TEXT = """\
[Service]
ExecStart={python} -m http.server --bind 127.0.0.1 {port}
WorkingDirectory={root}
[Install]
WantedBy=multi-user.target
"""
STATES = {"stopped": "start", "masked": "unmask", "disabled": "enable"}


def systemctl(*argv: str) -> str:
    return subprocess.run(["systemctl", *argv], capture_output=True, text=True, check=False).stdout.strip()


def fix(here: Shop, *argv: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", "why502", "fix", *argv, "--format", "json", "--state", str(here.state)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr + done.stdout
    return dict(json.loads(done.stdout))


def main() -> None:
    verb = STATES[sys.argv[1]]
    with shop() as here:
        UNIT.write_text(TEXT.format(python=sys.executable, port=here.wrong, root=here.root))
        systemctl("daemon-reload")
        if sys.argv[1] == "masked":
            systemctl("mask", "shop-app.service")
        before = (systemctl("is-enabled", "shop-app.service"), systemctl("is-active", "shop-app.service"))
        assert here.status() == 502
        named = ("--config", str(here.config), "--log", str(here.root / "error.log"))
        plan = fix(here, *named)
        steps = [
            step
            for step in [plan, *plan["others"]]
            if verb in step["message"] or (verb == "enable" and "every boot" in step["message"])
        ]  # type: ignore[misc, index]
        assert steps, plan
        number = str(steps[0].get("remedy", 1))  # type: ignore[attr-defined]
        done = fix(here, *named, "--apply", "--yes", "--remedy", number)
        assert (done["cause"], done["outcome"]) == ("backend-not-running", "kept"), done
        here.until(lambda: here.status() == 200)
        enabled = systemctl("is-enabled", "shop-app.service")
        assert (enabled == "enabled") == (verb == "enable"), enabled
        assert fix(here, "--undo")["outcome"] == "reverted"
        after = (systemctl("is-enabled", "shop-app.service"), systemctl("is-active", "shop-app.service"))
        assert (after[0], after[1] == "active") == (before[0], False), (before, after)
        assert here.status() == 502
    print("repaired and undone")


if __name__ == "__main__":
    main()
