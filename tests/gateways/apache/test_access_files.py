"""`.htaccess`: read where AllowOverride permits it, understood as what its directory's requests meet, with its owner's rights."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from why502.config.configuration import Configuration
from why502.gateways.apache import running
from why502.gateways.apache.config import finder, together
from why502.gateways.running import Texts, changed_at, supplied, texts_of, understood
from why502.host.local import LocalHost
from why502.machine.suppliers import Rights
from why502.model.config import Route
from why502.model.proxy import ConfigFile, Proxy

USER = 4242
MAIN = """\
<Directory />
  AllowOverride None
</Directory>
<Directory /srv/shop>
  AllowOverride All
</Directory>
<Directory /srv/shop/static>
  AllowOverride AuthConfig
</Directory>
<Directory /srv/listed>
  AllowOverride None
  AllowOverrideList Redirect
</Directory>
<VirtualHost *:80>
  ServerName shop.example
  DocumentRoot /srv/shop
  Alias /old /srv/listed
</VirtualHost>
<VirtualHost *:80>
  ServerName other.example
  DocumentRoot /srv/other
</VirtualHost>
"""
REWRITE = """\
RewriteEngine On
RewriteCond %{HTTPS} off
RewriteRule ^cart/(.*)$ http://127.0.0.1:3000/$1 [P,L]
ErrorDocument 503 "Sorry"
"""


def read(*files: tuple[str, str], main: str = MAIN) -> Configuration:
    """Return the configuration of the main file and of these."""
    return together([("/etc/httpd.conf", main), *files], {"SECRET": "s3cret"})


def test_a_rewrite_is_a_route_of_the_virtual_host_that_serves_the_directory() -> None:
    found = read(("/srv/shop/.htaccess", REWRITE))
    (route,) = found.routes
    assert (route.server, route.peers[0].name) == ("shop.example", "http://127.0.0.1:3000/$1")
    assert route.at is not None and str(route.at) == "/srv/shop/.htaccess:3"
    assert route.if_conditions == ("%{HTTPS} off",)
    assert [setting.args for setting in route.settings["ErrorDocument"]] == [("503", "Sorry")]
    assert [(file.path, file.is_live) for file in found.files] == [("/etc/httpd.conf", False), ("/srv/shop/.htaccess", True)]


def test_one_route_for_each_virtual_host_of_the_directory() -> None:
    main = MAIN.replace("/srv/other", "/srv/shop")
    found = read(("/srv/shop/.htaccess", REWRITE), main=main)
    assert [route.server for route in found.routes] == [
        "shop.example",
        "other.example",
    ]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/srv/other/.htaccess", REWRITE),  # nothing is allowed there
        ("/srv/shop/static/.htaccess", REWRITE),  # not this class
        ("/srv/elsewhere/.htaccess", REWRITE),
        ("/srv/shop/.htaccess", REWRITE.replace("Engine On", "Engine Off")),
        ("/srv/shop/.htaccess", "ProxyPass /x http://127.0.0.1:1/\n"),  # httpd refuses it there
        ("/srv/shop/.htaccess", f"<VirtualHost *:80>\n{REWRITE}</VirtualHost>\n"),
        ("/srv/shop/.htaccess", f"<Location /x>\n{REWRITE}</Location>\n"),
    ],
)
def test_what_httpd_does_not_take_from_there_is_no_route(path: str, text: str) -> None:
    assert read((path, text)).routes == ()


def test_a_list_allows_what_it_names() -> None:
    found = read(("/srv/listed/.htaccess", "Redirect 503 /old/x\nRewriteRule ^y - [R=503]\n"))
    assert [(answer.server, answer.status, answer.location) for answer in found.answers] == [("shop.example", 503, "/old/x")]


def test_its_own_answers() -> None:
    found = read(("/srv/shop/.htaccess", "RewriteRule ^closed - [R=503,L]\nRequire all denied\n"))
    assert [(answer.status, answer.location) for answer in found.answers] == [(503, "/"), (403, "/")]
    assert [answer.status for answer in read(("/srv/shop/static/.htaccess", "Require all denied\n")).answers] == [403]


def test_the_servers_variables_are_not_its_own() -> None:
    text = "RewriteRule ^(.*)$ http://${SECRET}.example/$1 [P]\n"
    assert "s3cret" not in str(read(("/srv/shop/.htaccess", text)))


def test_requests_find_its_routes_below_its_directory_only() -> None:
    handler = 'SetHandler "proxy:fcgi://127.0.0.1:9000"\n'
    found = read(("/srv/shop/api/.htaccess", handler + "RewriteRule ^v1/ http://127.0.0.1:3000/ [P]\n"))
    _, find = finder(Proxy(kind="apache", pid=1, routes=found.routes))

    def route(path: str) -> Route | None:
        return find(path, "shop.example", False)

    assert route("/api/x") is found.routes[0]
    assert route("/x") is None
    assert route("/api/v1/x") is None  # a RewriteRule may take it: which of both is not known


def test_without_a_configuration_it_is_read_as_it_stands() -> None:
    assert len(together([("/x/.htaccess", REWRITE)], None).routes) == 1


def served(directory: Path, *, override: str = "All") -> tuple[Texts, Path]:
    """Return the texts of a configuration that serves a directory, and that directory."""
    root = directory / "site"
    (root / "api").mkdir(parents=True)
    main = directory / "httpd.conf"
    main.write_text(f"DocumentRoot {root}\n<Directory {root}>\n  AllowOverride {override}\n</Directory>\n")
    return [(str(main), main.read_text())], root


def test_files_are_read_in_the_directory_and_directly_below(tmp_path: Path) -> None:
    texts, root = served(tmp_path)
    (root / "api" / "deep").mkdir()
    for place in (root, root / "api", root / "api" / "deep"):
        (place / ".htaccess").write_text(REWRITE)
    found = list(running.live(Rights(LocalHost(), 0), texts))
    assert [path for path, _ in found] == [f"{root}/.htaccess", f"{root}/api/.htaccess"]
    assert list(running.live(Rights(LocalHost(), 0), served(tmp_path / "b", override="None")[0])) == []


def test_at_most_so_many_directories(tmp_path: Path) -> None:
    texts, root = served(tmp_path)
    for number in range(running.MOST_LOOKED + 9):
        (root / f"d{number:03}").mkdir()
        (root / f"d{number:03}" / ".htaccess").write_text("")
    assert len(list(running.live(Rights(LocalHost(), 0), texts))) == running.MOST_LOOKED - 2


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """Yield a directory that every user can enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to act as another user")
def test_a_link_to_roots_file_is_not_followed_for_its_owner(open_directory: Path) -> None:
    texts, root = served(open_directory)
    secret = open_directory / "secret"
    secret.write_text("RewriteRule ^x http://secret.example/ [P]\n")
    secret.chmod(0o600)
    (root / ".htaccess").symlink_to(secret)
    (root / "api" / ".htaccess").write_text(REWRITE)
    rights = Rights(LocalHost(), 0)
    assert len(list(running.live(rights, texts))) == 2  # root's own link
    for path in (root, root / ".htaccess", root / "api", root / "api" / ".htaccess"):
        os.chown(path, USER, USER, follow_symlinks=False)
    mine = Rights(LocalHost(), 0)
    assert [path for path, _ in running.live(mine, texts)] == [f"{root}/api/.htaccess"]
    (read,) = understood(running, mine, texts, dict)
    files = supplied(mine, read.files)
    assert [(file.owner_uid, file.is_live, file.modified_at is None) for file in files[1:]] == [(USER, True, True)]


def test_a_change_needs_no_reload_and_no_test(tmp_path: Path) -> None:
    assert changed_at([ConfigFile(path="/x/.htaccess", is_live=True)]) is None
    texts, _ = served(tmp_path)
    files = (ConfigFile(path=texts[0][0]), ConfigFile(path="/x/.htaccess", is_live=True))
    assert texts_of(LocalHost(), Proxy(kind="apache", pid=1, files=files)) == texts
