"""The files that the linter accepts as configuration: templates, links kept as files, copies, other programs' files, fragments,
one file by two names.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from asking import ask
from lint_sample import found, given

from why502.gateways.nginx.config import lua
from why502.gateways.nginx.config.parse import parse
from why502.gateways.nginx.config.templates import is_stored_link, is_template

SERVER = "server { listen 80; location / { proxy_pass http://0.0.0.0:3000; } }\n"
HTTP = "events {}\nhttp {\n%s\n}\n"


@pytest.mark.parametrize(
    "text",
    [
        "listen {{ port }};", "{% if tls %}\nlisten 443;\n{% endif %}", "server_name <%= @name %>;", "listen ${PORT};",
        "root @DOCROOT@;",
        "alias __FINALPATH__/;", "server_name %%DOMAIN%%;", "server_name <SERVER_NAME>;", "listen PH_PORT;",
        "ssl_certificate SSL_CERT;",
        "upstream a {\n server app.$INTERNAL_DOMAIN:80;\n}", "server_name $SERVERNAME;", "proxy_read_timeout $TIMEOUT;",
        "proxy_pass http://127.0.0.1:APP_PORT;",
    ],
)  # fmt: skip
def test_a_template(text: str) -> None:
    assert is_template("/x/site.conf", text.encode())


@pytest.mark.parametrize("ending", ["template", "tmpl", "j2", "erb", "tpl"])
def test_a_template_by_its_name(ending: str) -> None:
    assert is_template(f"/x/site.conf.{ending}", SERVER.encode())


@pytest.mark.parametrize(
    "text",
    [
        "content_by_lua_block { local t = {{1, 2}, {3, 4}} }", "content_by_lua 'local t = {{1}}';", "# {{ not read }}",
        "fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;", "set $BACKEND http://app;\nproxy_pass $BACKEND;",
        "set $UP app; proxy_pass http://${UP};", "map $host $TARGET { default a; }\nproxy_pass http://${TARGET};",
        "proxy_pass $BACKEND;",
        "location ~ ^/(?<NAME_OF>a) { }", 'log_format a "%E4%B8%AD";', "ssl_ciphers ECDHE_X:HIGH;", 'return 200 "<html>";',
        "env FOO_BAR;",
        "proxy_pass http://my_APP:80;",
    ],
)  # fmt: skip
def test_no_template(text: str) -> None:
    assert not is_template("/x/site.conf", text.encode())


def test_code_does_not_hide_a_template() -> None:
    assert is_template("/x/a.conf", b"content_by_lua_block { t = {{1}} }\nlisten {{ port }};")


@pytest.mark.parametrize(
    "content", [b"XSym\n0034\nb4496baf\n/etc/nginx/sites-available/default\n", b"!<symlink>/x", b"../available/a"]
)
def test_a_link_kept_as_a_file(content: bytes) -> None:
    assert is_stored_link(content) and not is_stored_link(SERVER.encode())
    files = {"/r/nginx.conf": HTTP % "include sites-enabled/*;", "/r/sites-enabled/default": content}
    assert [risk for risk in found(files, "", "/r") if risk.rule == "W502-001"] == []


def test_an_included_template_is_not_read_as_configuration() -> None:
    files = {
        "/r/nginx.conf": HTTP % "include conf.d/*.conf;",
        "/r/conf.d/a.conf": "server { listen 80; location / { proxy_pass {{ x }}; } }",
    }
    taken = given(files, "", "/r/nginx.conf")
    assert any("template" in gap.reason for gap in taken.gaps)
    assert [risk.rule for risk in found(files, "", "/r/nginx.conf")] == []


@pytest.mark.parametrize(("name", "text"), [("a.conf.j2", SERVER), ("a.conf", "listen {{ x }};\n"), ("b.conf", "\0\1")])
def test_a_named_file_that_is_not_checked_is_status_2(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    (tmp_path / "good.conf").write_text(SERVER)
    answer = ask("lint", str(tmp_path / name), str(tmp_path / "good.conf"), "--nginx-version", "newest")
    assert answer.status == 2 and f"{name} was not checked" in answer.err
    assert "W502-028" in answer.out  # the others are


@pytest.mark.parametrize(
    "name", [".skel.conf", "a.conf.bak", "a.conf~", "conf.d.backup.20250624/a.conf", "backup/nginx.conf", "a.conf.dpkg-old"]
)
def test_copies_that_nothing_reads_are_passed_over(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(SERVER)
    (tmp_path / "backup.example.org.conf").write_text(SERVER)
    answer = ask("lint", str(tmp_path), "--nginx-version", "newest")
    assert [line.split(":")[0].rpartition("/")[2] for line in answer.out.splitlines() if "W502-028" in line] == [
        "backup.example.org.conf"
    ]


def test_another_program_with_listen_is_not_a_pool() -> None:
    assert found({"/r/lnd.conf": "[Application Options]\nlisten=0.0.0.0:9735\n"}, "", "/r") == ()
    assert found({"/r/php-fpm.d/zz.conf": "[www]\nlisten = 9000\npm = dynamic\n"}, "", "/r/php-fpm.d/zz.conf") != ()


def test_two_installations_of_fpm_are_apart() -> None:
    pool = "[www]\npm = static\npm.max_children = 5\nlisten = %s\n"
    files = {
        "/r/nginx.conf": HTTP % "server { listen 80; location ~ \\.php$ { fastcgi_pass unix:/run/php/8.3.sock; } }",
        "/r/php/8.3/fpm/pool.d/www.conf": pool % "/run/php/8.3.sock",
        "/r/usr/local/etc/php-fpm.d/www.conf": pool % "9000",
    }
    assert "W502-034" not in [risk.rule for risk in found(files, "", "/r")]


def test_one_file_by_two_names_is_reported_once(tmp_path: Path) -> None:
    for name in ("sites-available", "sites-enabled", "conf.d"):
        (tmp_path / name).mkdir()
    (tmp_path / "nginx.conf").write_text(HTTP % "include conf.d/./*.conf; include conf.d//*.conf; include sites-enabled/*;")
    (tmp_path / "conf.d/a.conf").write_text(SERVER)
    (tmp_path / "sites-available/b").write_text(SERVER.replace("80;", "81;"))
    (tmp_path / "sites-enabled/b").symlink_to("../sites-available/b")
    answer = ask("lint", str(tmp_path), "--nginx-version", "newest", "--select", "W502-028")
    assert [line.split(":")[0].removeprefix(f"{tmp_path}/") for line in answer.out.splitlines() if "W502-028" in line] == [
        "conf.d/a.conf", "sites-enabled/b",
    ]  # fmt: skip


def test_the_newest_nginx_has_its_own_defaults() -> None:
    text = HTTP % "upstream a { server 10.0.0.1:80; keepalive 8; } server { listen 80; location / { proxy_pass http://a; } }"
    assert "W502-040" not in [risk.rule for risk in found({"/r/nginx.conf": text}, "")]
    assert "W502-040" in [risk.rule for risk in found({"/r/nginx.conf": text}, "1.28.0")]


@pytest.mark.parametrize(
    "text", ["upstream dns { server 10.0.0.1:53; }\nserver { listen 53 udp; proxy_pass dns; proxy_timeout 5s; }\n"]
)
def test_a_fragment_of_stream(text: str) -> None:
    assert [risk.rule for risk in found({"/r/streams/dns.conf": text}, "") if risk.severity != "note"] == []


def test_servers_that_code_chooses_are_dummies() -> None:
    text = (
        "upstream a { server 0.0.0.1; server 0.0.0.0:1; balancer_by_lua_block { } }\nserver { listen 80; location / { "
        "proxy_pass http://a; } }"
    )
    assert not {"W502-028", "W502-012"} & {risk.rule for risk in found({"/r/a.conf": text}, "")}


def test_errors_that_follow_from_a_quotation_mark_are_not_reported() -> None:
    text = 'server { listen 80; add_header A "b;”;\nlocation / { # "c"\n}\nlocation / { }\nssl on; }\n'
    risks = found({"/r/a.conf": text}, "")
    assert [risk.rule for risk in risks if risk.severity == "error"] == ["W502-001"]


def test_lua_with_many_unterminated_strings_is_read_in_linear_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work is the number of characters that the patterns examine: from the start of each search to the end of its match."""
    work = 0
    real = lua.tokens

    class Counting:
        def __init__(self, pattern: object) -> None:
            self.pattern = pattern

        def search(self, text: str, at: int) -> object:
            nonlocal work
            match = self.pattern.search(text, at)  # type: ignore[attr-defined]
            work += (match.end() if match else len(text)) - at
            return match

    monkeypatch.setattr(lua, "tokens", lambda double, single: Counting(real(double, single)))
    for piece in ('content_by_lua_block { \\" } ', "content_by_lua_block { \\' \\\" } ", 'content_by_lua_block { "} '):
        works = []
        for count in (200, 400):
            work = 0
            parse((piece * count).encode(), "x")
            works.append(work)
        assert works[1] < 2.2 * works[0] and works[1] < 5 * len(piece) * 400, (piece, works)


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("W502-056", "upstream app { server 10.0.0.1; } server { proxy_set_header A 1; location / { proxy_pass http://app; } }"),
        (
            "W502-052",
            (
                "server { proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; location / { proxy_pass "
                "http://10.0.0.1; } }"
            ),
        ),
        ("W502-050", "server { proxy_set_header A 1; location /ws { proxy_pass http://10.0.0.1; } }"),
    ],
)
def test_a_hint_does_not_drop_inherited_headers(rule: str, text: str) -> None:
    """A `proxy_set_header` in the location would drop those of the server, so the hint names the block of the others."""
    (risk,) = [risk for risk in found({"/r/nginx.conf": HTTP % text}, "1.22.1") if risk.rule == rule]
    assert risk.remedies[0].message.endswith(
        "beside the other headers at /r/nginx.conf:3; a header set here alone would drop those"
    )
    alone = found({"/r/nginx.conf": HTTP % text.replace("proxy_set_header A 1;", "")}, "1.22.1")
    if rule != "W502-052":
        assert "beside" not in next(risk for risk in alone if risk.rule == rule).remedies[0].message


@pytest.mark.parametrize(
    ("text", "is_loop"),
    [
        ("server { listen 80; location / { proxy_pass http://127.0.0.1:80; } }", True),
        ("server { listen 80; location / { proxy_pass http://127.0.0.1:8080; } } server { listen 8080; return 204; }", False),
        (("server { listen 80; server_name a; location / { proxy_set_header Host b; proxy_pass http://127.0.0.1; } } "
                "server { listen 80; server_name b; return 204; }"), False),
        (("server { listen 80 default_server; server_name a; location / { proxy_set_header Host $host; proxy_pass "
                "http://127.0.0.1; } }"), True),
        ("server { listen 10.0.0.1:80; location / { proxy_pass http://127.0.0.1:80; } }", False),
        ("server { listen 80; location /a/ { proxy_pass http://127.0.0.1/b/; } location /b/ { return 204; } }", False),
    ],
)  # fmt: skip
def test_passing_to_oneself_takes_the_same_listener_and_name(text: str, is_loop: bool) -> None:
    assert ("W502-066" in [risk.rule for risk in found({"/r/nginx.conf": HTTP % text}, "1.22.1")]) is is_loop


@pytest.mark.parametrize(
    ("names", "is_told"),
    [
        (("default.conf", "default-https.conf"), False),
        (("shop-http-only.conf", "shop.conf"), False),
        (("a.conf", "b.conf"), True),
    ],
)
def test_files_of_which_one_is_deployed_do_not_contradict_each_other(names: tuple[str, str], is_told: bool) -> None:
    text = "upstream app { server 10.0.0.1; } server { listen 80; server_name a.example; location / { proxy_pass http://app; } }"
    files = {"/r/nginx.conf": HTTP % "include conf.d/*.conf;"} | {f"/r/conf.d/{name}": text for name in names}
    assert ({"W502-013", "W502-113"} <= {risk.rule for risk in found(files, "", "/r")}) is is_told


def test_the_name_of_no_server_is_not_taken() -> None:
    text = HTTP % ("server { listen 80; server_name _; }" * 2)
    assert "W502-113" not in [risk.rule for risk in found({"/r/nginx.conf": text}, "")]


def test_several_unheard_targets_tell_nothing_of_one_unit() -> None:
    unit = "[Service]\nExecStart=/srv/venv/bin/gunicorn -b 127.0.0.1:3001 app:app\n"
    text = HTTP % (
        "server { listen 80; location / { proxy_pass http://127.0.0.1:3000; } location /b { proxy_pass http://127.0.0.1:1200; } }"
    )
    assert "W502-030" not in [risk.rule for risk in found({"/r/nginx.conf": text, "/r/app.service": unit}, "")]


def test_a_variable_of_a_module_that_is_built_in_is_a_note() -> None:
    risks = found({"/r/nginx.conf": HTTP % "log_format a '$arvn_unique_id $requets_id';"}, "")
    told = {risk.message: risk.severity for risk in risks if risk.rule == "W502-167"}
    assert told == {"nothing defines $arvn_unique_id": "note", "nothing defines $requets_id": "error"}
