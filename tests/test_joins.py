"""What an access log without upstream fields tells is placed by the configuration, where that leaves no doubt."""

from __future__ import annotations

import msgspec
import pytest

from why502.config.nginx.load import load_dump
from why502.joins import placed, takes
from why502.model.logs import Symptom, Tally
from why502.model.snapshot import Listener, Proxy
from why502.model.target import Target

DUMP = """# configuration file /etc/nginx/nginx.conf:
events {}
http {
    upstream two { server 127.0.0.1:3001; server 127.0.0.1:3002; }
    server {
        server_name a.example;
        location / { proxy_pass http://127.0.0.1:3000; }
        location /two/ { proxy_pass http://two; }
        location /name/ { proxy_pass http://$arg_x; }
        location /old/ { return 503; }
    }
}
"""


@pytest.mark.parametrize(
    ("requests", "status", "port"),
    [
        (["GET /"], 502, 3000),
        (["GET /", "POST /x"], 504, 3000),
        (["/"], 502, 3000),  # a log without the method
        (["GET /"], 499, 3000),
        (["GET /two/"], 502, None),  # which of them
        (["GET /", "GET /two/"], 502, None),
        (["GET /name/"], 502, None),
        (["GET /"], 503, None),  # the proxy answers that itself
        ([], 502, None),
    ],
)
def test_a_status_is_placed_where_its_requests_lead_to_one_address(requests: list[str], status: int, port: int | None) -> None:
    found = load_dump(DUMP.encode())
    proxy = Proxy(routes=found.routes, servers=found.servers, answers=found.answers, upstreams=found.upstreams)
    seen = Tally(
        symptom=Symptom.CLIENT_CLOSED if status == 499 else Symptom.GATEWAY_STATUS,
        proxy="nginx",
        status=status,
        count=len(requests),
        requests=tuple((request, 1) for request in requests),
    )
    expected = Target(host="127.0.0.1", port=port) if port else None
    assert [tally.target for tally in placed([seen], [proxy])] == [expected]


def test_a_socket_whose_path_leads_elsewhere_takes_nothing() -> None:
    """Another mount namespace, or a file that was replaced: the name is the same, the file is not."""
    path = Target(path="/run/app.sock")
    listener = Listener(target=path, inode=1)
    assert takes(listener, path)
    assert takes(msgspec.structs.replace(listener, is_at_path=True), path)
    assert not takes(msgspec.structs.replace(listener, is_at_path=False), path)
