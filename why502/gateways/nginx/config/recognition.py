"""What is nginx's configuration among files of a directory: by place, name and text."""

from __future__ import annotations

import posixpath
import re

from why502.model.patterns import lazy

KIND = "nginx"
MAIN_NAME = "nginx.conf"
# The directories of the main configuration: of packages, of `make install`, of OpenResty and of Bitnami.
PLACES = (
    "/etc/nginx", "/usr/local/nginx/conf", "/usr/local/etc/nginx", "/usr/local/openresty/nginx/conf", "/opt/nginx/conf",
    "/etc/openresty", "/opt/bitnami/nginx/conf",
)  # fmt: skip
_ENDINGS = (".conf", ".nginx", ".vhost", ".inc", ".template", ".tmpl", ".site", ".http", ".cfg")
_DIRECTORIES = frozenset({"sites-available", "sites-enabled", "conf.d", "http.d", "snippets", "vhosts.d", "nginx"})
_MAIN = lazy(rb"(?:^|[;}])[ \t]*(?:http|events)\s*\{", re.MULTILINE)
_STREAM = lazy(rb"(?:^|[;}])[ \t]*stream\s*\{", re.MULTILINE)
_OF_HTTP = lazy(rb"^(?:server|upstream[ \t]+[\w.-]+)\s*\{", re.MULTILINE)
_DIRECTIVE = lazy(
    rb"(?:^|[;{}])\s*(?:server_name|root|return|(?:proxy|fastcgi|uwsgi|scgi|grpc)_\w+|location|upstream\s+[\w.-]+|listen|log_format"
    rb"|map\s+\S+\s+\$\w+|ssl_\w+|add_header|http|events|stream|server)[\s{]",
)
_ARROW = lazy(rb"^[ \t]*\w{1,40}[ \t]*=>", re.MULTILINE)  # Logstash
_ASSIGNED = lazy(rb"^[ \t]*+(?!location\b)[\w.-]{1,80}[ \t]*+=", re.MULTILINE)  # HOCON, INI, HCL
_COMMENT = lazy(rb"^[ \t\r]*+#.*+$", re.MULTILINE)


def is_likely(path: str) -> bool:
    """Return whether a file may be nginx's by its name, or without an ending by its directory."""
    name = posixpath.basename(path)
    if name.endswith(_ENDINGS):
        return True
    return "." not in name.lstrip(".") and (bool(_DIRECTORIES & set(path.split("/")[:-1])) or KIND in name)


def is_main(path: str, content: bytes) -> bool:
    """Return whether a file is a main configuration rather than a fragment: it opens a block that no other one contains.

    One with `stream` and with servers beside it is a fragment of `http` with a misplaced `stream`, unless its name says more.
    """
    if _MAIN.search(content):
        return True
    is_named = posixpath.basename(path) == MAIN_NAME
    return _STREAM.search(content) is not None and (is_named or not _OF_HTTP.search(content))


def is_configuration(content: bytes) -> bool:
    """Return whether a text has a directive of nginx, and most lines end as in its syntax."""
    if _ARROW.search(content):
        return False
    if b"_by_lua" not in content and len(_ASSIGNED.findall(content)) > content.count(b";"):
        return False
    lines = [line.strip() for line in _COMMENT.sub(b"", content).splitlines()]
    ends = sum(line.endswith((b";", b"{", b"}")) or b"; #" in line or b";#" in line for line in lines if line)
    return _DIRECTIVE.search(content) is not None and 2 * ends > sum(bool(line) for line in lines)
