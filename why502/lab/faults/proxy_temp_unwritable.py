"""proxy-temp-unwritable: nginx cannot write to its temporary directory."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.scenes import one_backend
from why502.lab.stage import Stage
from why502.model.finding import Layer


def request_body(stage: Stage) -> None:
    """Break it: uploads that do not fit the buffer cannot be put down; the backend is never asked."""
    one_backend(stage, times=1, location="client_body_buffer_size 8k;")
    for directory in stage.path("/var/lib/nginx").iterdir():
        directory.chmod(0o700)
        stage.sh("chown", "-R", "root:root", str(directory))
    stage.send_many(5, "/upload", method="POST", body=b"x" * 50_000)


def response(stage: Stage) -> str:
    """Break it: answers larger than the buffers cannot be put down while a slow client reads; they are cut, status 200."""
    target = one_backend(stage, times=1)
    for directory in stage.path("/var/lib/nginx").iterdir():
        directory.chmod(0o700)
        stage.sh("chown", "-R", "root:root", str(directory))
    stage.send_many(4, "/big", at_once=4, pause_s=0.3)
    return target


fault = partial(Fault, cause="proxy-temp-unwritable", layer=Layer.PROXY, ongoing=None, needs=frozenset({"isolation"}))
FAULTS = (
    fault(
        name="proxy-temp-unwritable",
        message="the directory for request bodies belongs to root",
        build=request_body,
        statuses=frozenset({200, 500}),
        proves=(r'open\(\) "/var/lib/nginx/\S+" failed \(13: Permission denied\)',),
    ),
    fault(
        name="proxy-temp-unwritable-response",
        message="the directory for responses belongs to root",
        build=response,
        statuses=frozenset({200}),
        proves=(r'open\(\) "/var/lib/nginx/\S+" failed \(13: Permission denied\) while reading upstream',),
    ),
)
