"""The proxy cannot write to its temporary or cache directory.

nginx writes a response that does not fit into its buffers to proxy_temp_path. If it cannot, the response is truncated (200 in the
log). For a request body the client gets 500. Small responses work, large ones do not.

## Do not confuse with
- `disk-full`: the permissions are right, but no space is left.
- `truncated-response`: the backend truncated the response.

## Confirm
- `ls -ld /var/lib/nginx/proxy /var/cache/nginx/*` must show the worker's user as owner. `ro` in `findmnt -T DIRECTORY` means
  read-only.

## Fix
- `chown` the directory to the worker's user, and give that user search permission (x) on its parent directories.

## References
- https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_temp_path
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.finding import PROOF, Evidence, Layer, supports
from why502.model.logs import Symptom
from why502.model.patterns import lazy
from why502.model.remedy import Remedy, Run


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if not case.seen(Symptom.TEMP_DENIED, Symptom.IO_FAILED):
        return
    for disk in case.here.disks or ():
        if disk.is_read_only:
            yield supports(f"the file system of {disk.path} is mounted read-only", f"findmnt -T {disk.path}", PROOF)
            return


_REFUSED = lazy(r'\(\) "(/[^"]+)" failed \(13: ')


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the remedy: make the user of the workers the owner of the directory that nginx named."""
    directories = sorted((disk.path.rstrip("/") for disk in case.here.disks or ()), key=len, reverse=True)
    for tally in case.tallies:
        for sample in tally.samples if tally.symptom is Symptom.TEMP_DENIED else ():
            match = _REFUSED.search(sample.text)
            directory = next((path for path in directories if match and match[1].startswith(f"{path}/")), "")
            proxy = case.proxy or next(iter(case.proxies), None)
            if directory and proxy and proxy.user and directory.count("/") > 2:
                yield from _own(proxy.user, directory)
                return


def summarize(case: Case) -> str:
    """Return the finding in one sentence, if the proxy named the file that it was denied."""
    samples = (sample for tally in case.tallies if tally.symptom is Symptom.TEMP_DENIED for sample in tally.samples)
    match = next((match for sample in samples if (match := _REFUSED.search(sample.text))), None)
    proxy = case.proxy or next(iter(case.proxies), None)
    if match is None or proxy is None:
        return ""
    user = f"{proxy.user}, the user of its workers, has" if proxy.user else "its workers have"
    return f"{proxy.kind} cannot write {match[1]}: {user} no permission"


def _own(user: str, directory: str) -> Iterator[Remedy]:
    """Yield the remedies that let a user write to a directory, each with a test as that user (runuser(1), test(1))."""
    chown = Run(argv=("chown", "-R", user, directory))
    test = Run(argv=("runuser", "-u", user, "--", "test", "-w", directory))
    message = f"make {user}, the user of the workers, the owner of {directory}"
    yield Remedy(message=message, steps=(chown, test))
    above = directory.rpartition("/")[0]
    if above.count("/") > 2:  # /var/lib/nginx, never /var/lib
        search = Run(argv=("chmod", "o+x", above))
        yield Remedy(message=f"{message}, and let every user search {above}", steps=(search, chown, test))


CAUSE = Cause(
    id="proxy-temp-unwritable",
    layer=Layer.PROXY,
    message="the proxy cannot write to its temporary or cache directory",
    headline="{proxy} cannot write temporary files for the responses of {target}",
    examine=examine,
    summarize=summarize,
    remedies=remedies,
    symptoms={Symptom.TEMP_DENIED: PROOF},
)
