"""A PHP-FPM child died by a signal.

"child N exited on signal 11 (SIGSEGV)": nginx sees the connection reset (502), the master starts another child. A defect of PHP or an extension, a
full opcache, or a stack overflow in a recursive script.

## Confuse not with
- `worker-timeout`: request_terminate_timeout ends it with SIGTERM.
- `backend-oom-killed`: SIGKILL by the kernel.

## Confirm
- The pool's error log; `journalctl -k -g 'php-fpm.*segfault'`; `coredumpctl`.

## Fix
- Update PHP and the extensions; switch the extensions off in turn to find the one.

## References
- https://www.php.net/manual/en/install.fpm.configuration.php
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.finding import LIKELY, PROOF, Evidence, Layer, supports
from why502.model.logs import Symptom


def examine(case: Case) -> Iterator[Evidence]:
    """Yield what speaks for and against."""
    hurt = case.seen(
        Symptom.RESET_BEFORE_HEADER,
        Symptom.CLOSED_BEFORE_HEADER,
        Symptom.RESET_IN_BODY,
        Symptom.CLOSED_IN_BODY,
        Symptom.CONNECT_REFUSED,
    )
    if not hurt and case.target is not None:
        return
    for event in case.events(Symptom.PHP_CHILD_DIED)[:1]:
        yield supports(event.message, event.source, PROOF)
        return
    for tally in case.words(Symptom.PHP_CHILD_DIED)[:1]:
        yield supports(f"PHP-FPM reports that a child died {tally.detail}".rstrip(), tally.source, PROOF)
        return
    for tally in case.words(Symptom.PROCESS_CRASHED)[:1]:
        if "php" in tally.process:
            yield supports(f"the kernel reports that {tally.process} crashed", tally.source, PROOF)


CAUSE = Cause(
    id="php-fpm-crashed",
    layer=Layer.UPSTREAM,
    message="a PHP-FPM child died by a signal",
    headline="a PHP-FPM child behind {target} died by a signal",
    symptoms={Symptom.PHP_CHILD_DIED: LIKELY},
    needs=frozenset({"events"}),
    explains=frozenset({"backend-crashed", "connection-reset", "keepalive-race", "premature-close", "truncated-response"}),
    examine=examine,
)
