"""httpd answers 503 itself as long as the file of a RewriteCond exists."""

from __future__ import annotations

from pathlib import Path

import pytest

from why502.gateways.apache import config as apache
from why502.gateways.nginx.installed import stopped
from why502.gateways.switch_files import in_force
from why502.host.local import LocalHost
from why502.model.snapshot import Gap

SITE = """<VirtualHost *:80>
    ServerName shop.example
    RewriteEngine On
    RewriteCond {file} {test}
    RewriteRule ^ - [R=503,L]
    ProxyPass / http://127.0.0.1:3000/
</VirtualHost>
"""


@pytest.mark.parametrize(
    ("file", "test", "is_there", "is_on"),
    [
        ("maintenance.enable", "-f", True, True),
        ("maintenance.enable", "-f", False, False),
        ("open", "!-f", True, False),
        ("open", "!-f", False, True),
    ],
)
def test_a_switch_counts_as_it_is_now(tmp_path: Path, file: str, test: str, is_there: bool, is_on: bool) -> None:
    if is_there:
        (tmp_path / file).touch()
    (answer,) = apache.load(SITE.format(file=tmp_path / file, test=test), "site.conf").answers
    assert (answer.status, answer.server, answer.if_conditions) == (503, "shop.example", (f"{tmp_path / file} {test}",))
    assert in_force(LocalHost(), (answer,)) == ((answer,) if is_on else ())


def test_a_path_with_variables_is_not_guessed() -> None:
    (answer,) = apache.load(SITE.format(file="%{DOCUMENT_ROOT}/maintenance.html", test="-f"), "site.conf").answers
    assert in_force(LocalHost(), (answer,)) == ()


def test_a_rule_without_a_switch_answers_always() -> None:
    (answer,) = apache.load("RewriteRule ^/old - [R=410,L]\nRewriteRule ^/x /y [R=301,L]\nRewriteRule ^/a - [F]\n", "x").answers
    assert answer.status == 410
    assert in_force(LocalHost(), (answer,)) == (answer,)


def test_conditions_belong_to_the_next_rule_alone() -> None:
    text = "RewriteCond /a -f\nRewriteRule ^ http://127.0.0.1:3000/ [P]\nRewriteRule ^/closed - [R=503,L]\n"
    (answer,) = apache.load(text, "x").answers
    assert answer.if_conditions == ()


@pytest.mark.parametrize(
    ("condition", "is_there", "is_on"),
    [
        ("-f {file}", True, True),
        ("-f {file}", False, False),
        ("!-e {file}", True, False),
        ("!-e {file}", False, True),
        ("-f $document_root/maintenance.html", False, True),
        ("$maintenance = 1", False, True),
    ],
)
def test_an_answer_of_nginx_counts_unless_its_switch_is_off(tmp_path: Path, condition: str, is_there: bool, is_on: bool) -> None:
    file = tmp_path / "maintenance.on"
    if is_there:
        file.touch()
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"events {{}}\nhttp {{ server {{ listen 8099; if ({condition.format(file=file)}) {{ return 503; }} location / "
        f"{{ proxy_pass http://127.0.0.1:3000; }} }} }}\n"
    )
    gaps: list[Gap] = []
    found = stopped(LocalHost(), str(config), "", gaps)
    assert [answer.status for answer in found.answers] == ([503] if is_on else [])
