"""One test for thousands of cases: a test for each would cost more than the check itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

MOST = 20  # maximum failing cases shown


def of(cases: Iterable[Any], name: Callable[..., str] = repr) -> Callable[[Callable[..., None]], Callable[[], None]]:
    """Return a decorator that makes a test check every case, and list all failing ones with the reason."""
    given = [case if type(case) is tuple else (case,) for case in cases]

    def decorate(check: Callable[..., None]) -> Callable[[], None]:
        @wraps(check)
        def test() -> None:
            assert given, "there is no case"
            failed = []
            for case in given:
                try:
                    check(*case)
                except Exception as error:
                    failed.append(f"{name(*case)}: {type(error).__name__}: {error}")
            assert not failed, f"{len(failed)} of {len(given)} cases:\n" + "\n".join(failed[:MOST])

        del test.__wrapped__  # pytest would take its arguments for fixtures
        return test

    return decorate
