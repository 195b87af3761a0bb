"""What a location has from elsewhere: headers and groups of files that `http` includes by pattern, and the path of a script."""

from __future__ import annotations

import pytest
from lint_sample import found

HTTP = "events {}\nhttp {\n%s\n}\n"
LIST = (
    "proxy_set_header Host $host;\nproxy_set_header X-Forwarded-For $remote_addr;\nproxy_set_header X-Forwarded-Proto $scheme;\n"
)


def severities(files: dict[str, str], rule: str) -> list[str]:
    """Return the severities of the findings of a rule in a repository."""
    return [
        str(risk.severity)
        for risk in found({f"/repo/{name}": text for name, text in files.items()}, "", "/repo")
        if risk.rule == rule
    ]


@pytest.mark.parametrize(
    ("own", "severity"),
    [(LIST, "note"), ("proxy_set_header X-Real-IP $remote_addr;\n", "warning"), ("proxy_set_header Host $host;\n", "warning")],
)
def test_a_list_of_headers_for_locations_is_included_with_its_directory(own: str, severity: str) -> None:
    files = {
        "nginx.conf": HTTP % "include /etc/nginx/conf.d/*.conf;",
        "conf.d/proxy-params.conf": LIST + "proxy_set_header X-Forwarded-Host $host;\n",
        "conf.d/app.conf": "server { listen 80; location / { proxy_pass http://127.0.0.1:3000;\n" + own + "} }\n",
    }
    assert severities(files, "W502-055") == [severity]


def test_a_list_of_headers_that_has_fewer_than_usual_may_be_replaced_by_one_that_has_them() -> None:
    files = {
        "nginx.conf": HTTP % "include snippets/*.conf;\ninclude conf.d/*.conf;",
        "snippets/proxy.conf": LIST.replace("X-Forwarded-Proto $scheme", "X-Request-Id $request_id"),
        "conf.d/app.conf": "server { listen 80; location / { proxy_pass http://127.0.0.1:3000;\n%s} }\n",
    }
    for own, severity in (("proxy_set_header Host $host;\n", "warning"), (LIST, "note")):
        assert severities({**files, "conf.d/app.conf": files["conf.d/app.conf"].replace("%s", own)}, "W502-055") == [severity]


def test_headers_of_the_same_file_are_meant_for_its_locations() -> None:
    place = f"location / {{ proxy_pass http://127.0.0.1:3000;\n{LIST}}}"
    text = HTTP % f"proxy_set_header X-Forwarded-Host $host;\nserver {{ listen 80; {place} }}"
    assert severities({"nginx.conf": text}, "W502-055") == ["warning"]


@pytest.mark.parametrize(
    ("connection", "is_told"), [('""', False), ("close", False), ("upgrade", True), ("$connection_upgrade", True)]
)
def test_a_route_that_closes_its_connections_needs_no_upgrade(connection: str, is_told: bool) -> None:
    place = f"location / {{ proxy_pass http://127.0.0.1:3000; proxy_set_header Connection {connection}; }}"
    text = HTTP % f"server {{ listen 80; proxy_set_header Upgrade $http_upgrade; {place} }}"
    assert severities({"nginx.conf": text}, "W502-055") == ["warning"] * is_told


@pytest.mark.parametrize(
    ("include", "severity"), [("groups/*.conf", "note"), ("groups/app.conf", "warning"), ("sites-enabled/*", "warning")]
)
def test_a_group_in_a_directory_may_replace_that_of_the_main_file(include: str, severity: str) -> None:
    group = "upstream app { server 127.0.0.1:3000; }\n"
    home = include.partition("/")[0]
    files = {"nginx.conf": HTTP % f"{group}include {include};", f"{home}/app.conf": group}
    assert severities(files, "W502-013") == [severity]


@pytest.mark.parametrize(
    ("value", "is_told"),
    [("$document_root$fastcgi_script_name", False), ("/srv/app/index.php", False), ("$document_root$fastcgi_path_info", True)],
)
def test_the_translated_path_names_the_script(value: str, is_told: bool) -> None:
    params = f"fastcgi_param REQUEST_METHOD $request_method; fastcgi_param PATH_TRANSLATED {value};"
    inner = f"{params} fastcgi_pass unix:/run/php-fpm.sock;"
    text = HTTP % f"server {{ listen 80; location ~ ^/(status|ping)$ {{ {inner} }} }}"
    assert severities({"nginx.conf": text}, "W502-122") == ["warning"] * is_told


@pytest.mark.parametrize(
    ("place", "alias", "is_told"),
    [
        ("= /index.php", "/srv/app/", False),
        ("= /blog/index.php", "/srv/blog/index.php", True),
        ("/blog/", "/srv/blog/", True),
        ("~ ^/blog/(.+)$", "/srv/blog/$1", True),
    ],
)
def test_the_script_of_one_path_is_in_the_directory_of_its_alias(place: str, alias: str, is_told: bool) -> None:
    script = "fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name; fastcgi_pass unix:/run/php-fpm.sock;"
    text = HTTP % f"server {{ listen 80; location {place} {{ alias {alias}; {script} }} }}"
    assert severities({"nginx.conf": text}, "W502-208") == ["warning"] * is_told


def test_ssl_of_another_site_may_hold_for_the_port() -> None:
    site = "server { listen 443; ssl_certificate a.crt; ssl_certificate_key a.key; location / { return 204; } }\n"
    assert severities({"sites/gitlab.conf": site}, "W502-210") == ["note"]
    assert severities({"nginx.conf": HTTP % site}, "W502-210") == ["warning"]


@pytest.mark.parametrize(("rewrite", "is_told"), [("rewrite ^/shop/(.*)$ /$1 break;", False), ("", True)])
def test_a_rewritten_request_to_the_own_port_may_reach_another_location(rewrite: str, is_told: bool) -> None:
    place = f"location ^~ /shop/ {{ {rewrite} proxy_pass http://127.0.0.1; }} location / {{ root /srv; }}"
    assert severities({"nginx.conf": HTTP % f"server {{ listen 80; {place} }}"}, "W502-066") == ["error"] * is_told


@pytest.mark.parametrize(("port", "is_told"), [(3000, True), (3001, False)])
def test_an_error_page_with_its_own_location_may_be_that_of_the_same_backend(port: int, is_told: bool) -> None:
    page = f"location = /sorry {{ proxy_pass http://127.0.0.1:{port}; }}"
    text = HTTP % f"server {{ listen 80; error_page 502 /sorry; {page} location / {{ proxy_pass http://127.0.0.1:3000; }} }}"
    assert severities({"nginx.conf": text}, "W502-116") == ["warning"] * is_told
