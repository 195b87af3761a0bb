"""The handler of a file among those of several directories: by the URL's path, the directory served there, and its section."""

from __future__ import annotations

import pytest

from why502.gateways.apache.config import finder, together
from why502.model.proxy import Proxy

HANDLER = '<FilesMatch "\\.php$">\nSetHandler "proxy:unix:/run/{name}.sock|fcgi://{name}/"\n</FilesMatch>\n'


def handler(name: str) -> str:
    """Return a handler of scripts by the pool of this name."""
    return HANDLER.replace("{name}", name)


SITE = f"""\
DocumentRoot /srv/none
{handler("everywhere")}
<VirtualHost *:80>
  ServerName shop.example
  DocumentRoot /srv/shop/public
  Alias /office /opt/office
  AliasMatch ^/tenant-(\\w+)/ /srv/tenants/$1/
  <Directory /srv/shop/public/admin>
    {handler("admin")}
  </Directory>
  <Directory /srv/shop>
    {handler("shop")}
  </Directory>
  <Directory /opt/*>
    {handler("office")}
  </Directory>
  <Directory ~ "/reports/">
    {handler("reports")}
  </Directory>
</VirtualHost>
<VirtualHost *:80>
  ServerName blog.example
  DocumentRoot ${{BLOG}}
  <Directory /srv/blog>
    {handler("blog")}
  </Directory>
</VirtualHost>
<VirtualHost *:80>
  ServerName bare.example
  DocumentRoot /srv/bare
  <Directory /srv/bare/app>
    SetHandler "proxy:unix:/run/bare.sock|fcgi://bare/"
  </Directory>
  <Location /status>
    SetHandler "proxy:unix:/run/status.sock|fcgi://status/"
  </Location>
</VirtualHost>
"""
OVERRIDES = """\
<Directory /srv/own>
  AllowOverride FileInfo
  {outer}
</Directory>
<VirtualHost *:80>
  ServerName own.example
  DocumentRoot /srv/own
</VirtualHost>
"""


def pool(path: str, server: str, *files: tuple[str, str], main: str = SITE, is_passed: bool = False) -> str:
    """Return the socket of the pool that a path leads to; "" if none, or if that is unknown."""
    found = together([("/etc/httpd.conf", main), *files], {})
    _, find = finder(Proxy(kind="apache", routes=found.routes))
    route = find(path, server, is_passed)
    return route.peers[0].target.path if route and route.peers[0].target else ""


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/index.php", "shop"),
        ("/deep/er/page.php?x=/admin/a.php", "shop"),
        ("/admin/index.php", "admin"),
        ("/admin/users/list.php", "admin"),
        ("/administrators.php", "shop"),
        ("/office/desk.php", "office"),
        ("/reports/of-may.php", "reports"),
        ("/admin/reports/of-may.php", "reports"),
    ],
)
def test_the_innermost_directory_has_the_handler(path: str, name: str) -> None:
    assert pool(path, "shop.example") == f"/run/{name}.sock"


def test_what_is_in_none_of_them_has_the_handler_of_the_server() -> None:
    assert pool("/other.php", "other.example") == ""
    assert pool("/index.php", "bare.example") == "/run/everywhere.sock"


@pytest.mark.parametrize(("path", "server"), [("/tenant-a/index.php", "shop.example"), ("/index.php", "blog.example")])
def test_a_path_whose_directory_is_unknown_belongs_to_no_pool(path: str, server: str) -> None:
    assert pool(path, server) == ""
    assert pool(path, server, is_passed=True) == ""


def test_a_request_that_names_no_script_is_of_its_directory_or_of_nobody() -> None:
    assert pool("/admin/", "shop.example", is_passed=True) == ""  # the handler of reports or of everything else may have it
    assert pool("/exhibition/may", "shop.example", is_passed=True) == ""


def test_a_handler_of_a_whole_directory_and_one_of_a_location() -> None:
    assert pool("/app/anything", "bare.example") == "/run/bare.sock"
    assert pool("/anything", "bare.example") == ""
    assert pool("/status/now", "bare.example") == "/run/status.sock"


def test_a_file_in_the_directory_comes_after_the_section_about_it() -> None:
    main = OVERRIDES.replace("{outer}", handler("outer"))
    own = ("/srv/own/sub/.htaccess", handler("inner"))
    assert pool("/index.php", "own.example", own, main=main) == "/run/outer.sock"
    assert pool("/sub/index.php", "own.example", own, main=main) == "/run/inner.sock"
    own = ("/srv/own/.htaccess", handler("inner"))
    assert pool("/index.php", "own.example", own, main=main) == "/run/inner.sock"


def test_many_aliases_make_the_directory_unknown() -> None:
    aliases = "".join(f"Alias /a{number} /srv/a{number}\n" for number in range(200))
    sections = "".join(f"<Directory /srv/{name}>\n{handler(name)}</Directory>\n" for name in ("x", "a1"))
    main = f"DocumentRoot /srv/x\n{aliases}{sections}"
    assert pool("/index.php", "", main=main) == ""
