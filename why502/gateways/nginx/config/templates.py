"""Files that look like configuration but are not: templates that a program fills in first, and links stored as files."""

from __future__ import annotations

import posixpath
import re

from why502.gateways.nginx.config.lua import Lua
from why502.model.patterns import lazy

_ENDINGS = (".template", ".tmpl", ".tpl", ".gotmpl", ".j2", ".jinja", ".jinja2", ".erb", ".epp", ".mustache", ".ctmpl")
_COMMENT = lazy(rb"^[ \t\r]*+#.*+$", re.MULTILINE)
# Go, Jinja, Mustache and Helm; ERB; PHP; envsubst and shell; sed scripts and installers; autoconf.
# One expression for each first character: together they would be tried at every place of the text.
_MARKS = (
    lazy(rb"\{(?:[{%]|[A-Z][A-Z0-9_]+\})"),
    lazy(rb"<(?:%|\?php|(?<![?P]<)[A-Z]+_[A-Z0-9_]+>)"),
    lazy(rb"@[A-Z][A-Z0-9_]+@"),
    lazy(rb"__(?<!\w__)[A-Z][A-Z0-9_]*__"),
    lazy(rb"%[A-Z][A-Z_]{2,}%"),
)
_VALUE = rb"[ \t]++[^;#\n\"']{0,500}?"
_FIXED = (
    rb"listen|server_name|server|resolver|client_max_body_size|\w{1,40}_timeout|worker_\w{1,40}|upstream"  # no variables here
)
# Where nginx expects an address, a number or a path, a word in capitals (SSL_CERT, $LISTEN_PORT) is a placeholder.
_PLACEHOLDERS = (
    lazy(rb"^[ \t]*+(?:" + _FIXED + rb")" + _VALUE + rb"\$[A-Z][A-Z0-9_]++(?![\w=.])", re.MULTILINE),
    lazy(
        rb"^[ \t]*+(?:" + _FIXED + rb"|(?:proxy|fastcgi|uwsgi|scgi|grpc)_pass|root|alias|ssl_(?:trusted_)?certificate(?:_key)?)"
        + _VALUE + rb"(?<![\w$/.-])[A-Z][A-Z0-9]*_[A-Z0-9_]++(?![\w=.])",
        re.MULTILINE,
    ),
    # `<path to the key>`, `https://{ip}:8080`, `[your domain]` and `#NAME#`, as somebody or a program of one's own is to replace
    # them. The name of a group in a regular expression is none: `(?<name>`.
    lazy(
        rb"^[ \t]*+(?:" + _FIXED + rb"|\w{1,40}_pass|root|alias|ssl_(?:trusted_)?certificate(?:_key)?)" + _VALUE
        + rb"(?<![?P(])<[A-Za-z][^<>;\n]{0,200}>",
        re.MULTILINE,
    ),
    # `server_name #.#.#.#;` and the like: `#` begins a comment there, so that the line goes on with the next one.
    lazy(rb"^[ \t]*+(?:" + _FIXED + rb"|\w{1,40}_pass)[ \t]++#[#.:]*+;", re.MULTILINE),
    # The same in a line of httpd or HAProxy, which no semicolon ends.
    lazy(
        rb"^[ \t]*+(?:Server(?:Name|Alias)|ProxyPass(?:Match|Reverse)?|BalancerMember|DocumentRoot|SSLCertificate\w{0,20}"
        rb"|server|bind)[ \t][^#\n<\"']{0,300}<[A-Za-z][\w .-]{0,80}>",
        re.MULTILINE | re.IGNORECASE,
    ),
    lazy(
        rb"^[ \t]*+(?:location|" + _FIXED + rb"|\w{1,40}_pass|root|alias)" + _VALUE + rb"(?<=[/:.])\{[A-Za-z_][\w-]{0,60}\}",
        re.MULTILINE,
    ),
    lazy(
        rb"^[ \t]*+(?:" + _FIXED + rb"|\w{1,40}_pass|root|alias|ssl_(?:trusted_)?certificate(?:_key)?)[ \t]++"
        rb"(?:[^;#\n\"'{~]{0,500}?[ \t/.:])??"
        rb"(?:\{[A-Za-z_][\w-]{0,60}\}|\[[A-Za-z]{4,40}(?:[ _-][A-Za-z]{2,40}){0,5}\]|#[A-Z][A-Z0-9_]{2,60}#)",
        re.MULTILINE,
    ),
)  # fmt: skip
# What each of them contains at least: most files have none of it, and the expressions above look at every line.
_SIGNS = (
    lazy(rb"\$[A-Z]"),
    lazy(rb"[A-Z0-9]_"),
    lazy(rb"<[A-Za-z]"),
    lazy(rb"#;"),
    lazy(rb"<[A-Za-z]"),
    lazy(rb"\{[A-Za-z_][\w-]{0,60}\}"),
    lazy(rb"[{\[#][A-Za-z_][\w -]{0,300}[}\]#]"),
)
_NAMED = lazy(r"(?:^|[_.-])template(?:[_.-]|$)", re.IGNORECASE)
_DEFINED = lazy(rb"\b(?:set[ \t]+|(?:map|geo|split_clients)[ \t]+[^\n;{]{1,200}?)\$\{?([A-Z][A-Z0-9_]*)\}?")
_LUA_BLOCK = lazy(rb"_by_lua_block\s*\{")
_LUA_WORD = lazy(rb"_by_lua\s+(?:'(?:[^'\\]++|\\.)*+'|\"(?:[^\"\\]++|\\.)*+\")", re.DOTALL)


def is_template(path: str, content: bytes) -> bool:
    """Return whether a file still contains placeholders, or has the name of a template."""
    if path.lower().endswith(_ENDINGS) or _NAMED.search(posixpath.basename(path)):
        return True
    text = _COMMENT.sub(b"", content)
    if b"_by_lua" in text:
        text = _LUA_WORD.sub(b"", _without_lua(text))
    defined = {b"{" + name + b"}" for name in _DEFINED.findall(text)}
    if any(found[0].lstrip(b"$") not in defined for marks in _MARKS for found in marks.finditer(text)):
        return True
    return any(sign.search(text) and placeholder.search(text) for sign, placeholder in zip(_SIGNS, _PLACEHOLDERS, strict=True))


def is_stored_link(content: bytes) -> bool:
    """Return whether a file is a symbolic link as stored by SMB (`XSym`), Cygwin, or git on Windows (one line with a path)."""
    if content.startswith((b"XSym\n", b"!<symlink>")):
        return True
    return len(content) < 200 and re.fullmatch(rb"(?:\.\.?/|/)?[\w.-]+(?:/[\w.-]+)+\n?", content) is not None


def _without_lua(text: bytes) -> bytes:
    """Return the text without its Lua blocks; a table in them begins with `{{`, too."""
    out, position = [], 0
    lua = Lua(text.decode("latin-1"))
    while found := _LUA_BLOCK.search(text, position):
        out.append(text[position : found.end()])
        position = lua.end(found.end())
    out.append(text[position:])
    return b"".join(out)
