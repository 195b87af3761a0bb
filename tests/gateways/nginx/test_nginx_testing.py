"""What `nginx -t` prints."""

from why502.gateways.nginx.testing import problems
from why502.model.config import Position
from why502.model.proxy import ConfigProblem


def test_both_forms_of_its_output() -> None:
    output = (
        'nginx: [warn] conflicting server name "x" on 0.0.0.0:80, ignored\n'
        'nginx: [emerg] host not found in upstream "app" in /etc/nginx/conf.d/a b.conf:7\n'
        '2026/11/21 00:43:15 [emerg] 53#53: host not found in upstream "app" in /etc/nginx/conf.d/a b.conf:7\n'
        'nginx: [emerg] open() "/run/nginx.pid" failed (13: Permission denied)\n'
        "nginx: configuration file /etc/nginx/nginx.conf test failed\n"
    )
    at = Position(file="/etc/nginx/conf.d/a b.conf", line=7)
    assert problems(output) == (
        ConfigProblem(message='host not found in upstream "app"', at=at, source="nginx -t"),
        ConfigProblem(message='open() "/run/nginx.pid" failed (13: Permission denied)', source="nginx -t"),
    )
