"""The unit in docs/serve.md, as a person would copy it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from own_systemd import played

pytestmark = [pytest.mark.real, pytest.mark.timeout(200)]
ROOT = Path(__file__).parents[2]


def test_the_unit_of_the_documentation_serves_the_store_of_the_watch() -> None:
    (text,) = re.findall(
        r"```ini\n# /etc/systemd/system/why502-serve.service\n(.*?)```", (ROOT / "docs/serve.md").read_text(), re.S
    )
    assert played(Path(__file__).with_name("in_machine_serve.py"), text) == "read the store, without rights\n"
