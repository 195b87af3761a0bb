"""The building blocks of remedies."""

from __future__ import annotations

import pytest

from why502.model.snapshot import Proxy
from why502.remedies.changes import reload


@pytest.mark.parametrize(("is_apart", "begin"), [(False, ()), (True, ("nsenter", "--target", "7", "--all"))])
def test_a_container_is_reloaded_from_within(is_apart: bool, begin: tuple[str, ...]) -> None:
    proxy = Proxy(pid=7, exe="/usr/sbin/nginx", options=("-c", "/a.conf"), is_apart=is_apart)
    program = (*begin, "/usr/sbin/nginx", "-c", "/a.conf")
    assert [run.argv for run in reload(proxy)] == [(*program, "-t"), (*program, "-s", "reload")]
