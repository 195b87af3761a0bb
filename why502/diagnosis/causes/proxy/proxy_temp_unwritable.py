"""The proxy cannot write its temporary or cache directory: permission or no space.

A response that does not fit the buffers goes to proxy_temp_path; when that may not be written, the answer is cut (200 in the log) or, for a request
body, 500. Small answers work, large ones do not.

## Confuse not with
- `disk-full`: the permission is there, the space is not.
- `truncated-response`: the backend cut it.

## Confirm
- `ls -ld /var/lib/nginx/proxy /var/cache/nginx/*`; the owner must be the worker's user. `findmnt -T DIRECTORY`: `ro` is read-only.

## Fix
- `chown` the directory to the worker's user; mode x on the directories above it.

## References
- https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_temp_path
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.finding import PROOF, Evidence, Layer, supports
from why502.model.logs import Symptom
from why502.model.remedy import Remedy, Run


def examine(case: Case) -> Iterator[Evidence]:
    """Yield what speaks for and against."""
    if not case.seen(Symptom.TEMP_DENIED, Symptom.IO_FAILED):
        return
    for disk in case.here.disks or ():
        if disk.is_read_only:
            yield supports(f"the file system of {disk.path} is mounted read-only", f"findmnt -T {disk.path}", PROOF)
            return


_REFUSED = re.compile(r'\(\) "(/[^"]+)" failed \(13: ')


def remedies(case: Case) -> Iterator[Remedy]:
    """Give the directory that nginx named to the user of its workers."""
    directories = sorted((disk.path.rstrip("/") for disk in case.here.disks or ()), key=len, reverse=True)
    for tally in case.tallies:
        for sample in tally.samples if tally.symptom is Symptom.TEMP_DENIED else ():
            match = _REFUSED.search(sample.text)
            directory = next((path for path in directories if match and match[1].startswith(f"{path}/")), "")
            proxy = case.proxy or next(iter(case.proxies), None)
            if directory and proxy and proxy.user and directory.count("/") > 2:
                chown = Run(argv=("chown", "-R", proxy.user, directory))
                yield Remedy(message=f"make {proxy.user}, the user of the workers, the owner of {directory}", steps=(chown,))
                return


CAUSE = Cause(
    id="proxy-temp-unwritable",
    layer=Layer.PROXY,
    message="the proxy cannot write its temporary or cache directory: permission or no space",
    headline="{proxy} cannot write the temporary files for the answers of {target}",
    examine=examine,
    remedies=remedies,
    symptoms={Symptom.TEMP_DENIED: PROOF},
)
