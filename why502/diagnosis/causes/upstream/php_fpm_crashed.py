"""A PHP-FPM child was killed by a signal.

PHP-FPM logs "child N exited on signal 11 (SIGSEGV)". nginx sees a connection reset (502), and the master starts another child.
The reason is a bug in PHP or an extension, a full opcache, or a stack overflow in a recursive script.

## Do not confuse with
- `worker-timeout`: request_terminate_timeout ends it with SIGTERM.
- `backend-oom-killed`: the kernel sent SIGKILL.

## Confirm
- See the pool's error log, `journalctl -k -g 'php-fpm.*segfault'` and `coredumpctl`.

## Fix
- Update PHP and its extensions. Otherwise disable the extensions one by one to find the faulty one.

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
    """Yield the evidence for and against this cause."""
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
            message = f"the kernel reports that {tally.process} crashed"
            yield supports(message, tally.source, PROOF if case.is_named_by(tally) else LIKELY)


CAUSE = Cause(
    id="php-fpm-crashed",
    layer=Layer.UPSTREAM,
    protocol="fastcgi",
    message="a PHP-FPM child was killed by a signal",
    headline="a PHP-FPM child behind {target} was killed by a signal",
    symptoms={Symptom.PHP_CHILD_DIED: LIKELY},
    needs=frozenset({"events"}),
    explains=frozenset({"backend-crashed", "connection-reset", "keepalive-race", "premature-close", "truncated-response"}),
    examine=examine,
)
