"""Which proxy a text belongs to."""

from __future__ import annotations

import pytest
from nginx_samples import ALL

from why502.gateways.detect import kind

HAPROXY = """\
global
    log /dev/log local0
    stats socket /run/haproxy/admin.sock mode 660 level admin
defaults
    mode http
    timeout connect 5000
    timeout client  50000
frontend www
    bind *:80
    default_backend app
backend app
    balance roundrobin
    server a 127.0.0.1:3001 check
"""
APACHE = """\
ServerRoot "/etc/apache2"
<VirtualHost *:80>
    ServerName example.com
    DocumentRoot /var/www/html
    ProxyPass / http://127.0.0.1:3000/
    ErrorLog ${APACHE_LOG_DIR}/error.log
</VirtualHost>
"""


@pytest.mark.parametrize("name", ALL)
def test_nginx(name: str) -> None:
    assert kind(ALL[name]) == "nginx"
    assert kind(ALL[name].replace("\n", "\r\n")) == "nginx"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HAPROXY, "haproxy"),
        (APACHE, "apache"),
        ("<ifmodule mod_proxy.c>\nproxypass / http://x/\n</ifmodule>\n", "apache"),
        ("listen stats\n  bind :8404\n", "haproxy"),
        ("server {\n  listen 80;\n}\n", "nginx"),
        ("location /x { proxy_pass http://a; }\n", "nginx"),
        ("# configuration file /etc/nginx/nginx.conf:\n", "nginx"),
        ("", None),
        ("hello world\n", None),
        ('{"a": 1}\n', None),
    ],
)
def test_others(text: str, expected: str | None) -> None:
    assert kind(text) == expected
