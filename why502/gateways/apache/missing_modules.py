"""What to do about a directive that httpd does not know: the module that defines it. [httpd 2.4, directive index]"""

from __future__ import annotations

from why502.model.patterns import lazy

_COMMAND = lazy(r"Invalid command '(?P<name>[^']{1,60})'")
_MODULES = (
    (lazy(r"(?:Request)?Header"), "headers"),
    (lazy(r"Rewrite\w+"), "rewrite"),
    (lazy(r"Expires\w+"), "expires"),
    (lazy(r"Deflate\w+"), "deflate"),
    (lazy(r"AddOutputFilterByType|Filter\w+"), "filter"),
    (lazy(r"SetEnvIf(?:NoCase|Expr)?|BrowserMatch(?:NoCase)?"), "setenvif"),
    (lazy(r"(?:Set|Unset|Pass)Env"), "env"),
    (lazy(r"Redirect\w*|(?:Script)?Alias(?:Match)?"), "alias"),
    (lazy(r"Options?Index\w*|Index\w+|AddIcon\w*|AddDescription|HeaderName|ReadmeName"), "autoindex"),
    (lazy(r"DirectoryIndex|DirectorySlash|FallbackResource"), "dir"),
    (lazy(r"AuthUserFile"), "authn_file"),
    (lazy(r"AuthType|AuthName"), "authn_core"),
    (lazy(r"AuthBasic\w+"), "auth_basic"),
    (lazy(r"Order|Allow|Deny|Satisfy"), "access_compat"),
    (lazy(r"AddType|AddHandler|SetHandler|AddCharset|AddEncoding"), "mime"),
    (lazy(r"Substitute\w*"), "substitute"),
    (lazy(r"SSL\w+"), "ssl"),
    (lazy(r"Sec[A-Z]\w+"), "security2"),
    (lazy(r"Proxy\w*|NoProxy"), "proxy"),
    (lazy(r"Balancer\w+"), "proxy_balancer"),
    (lazy(r"RemoteIP\w+"), "remoteip"),
    (lazy(r"H2\w+"), "http2"),
)
_PHP = lazy(r"php_(?:admin_)?(?:value|flag)")


def advice(detail: str) -> str:
    """Return what to do about a message such as "Invalid command 'Header', …", in one sentence; "" if it names no directive."""
    match = _COMMAND.search(detail)
    if match is None:
        return ""
    name = match["name"]
    if _PHP.fullmatch(name):
        return f"move {name} to .user.ini or to the pool's configuration: PHP-FPM does not read it from .htaccess"
    module = next((module for pattern, module in _MODULES if pattern.fullmatch(name)), "")
    if module:
        return f"enable mod_{module}, which defines {name}: `a2enmod {module}`, then restart Apache; or remove the line"
    return f"correct the name of {name}, or enable the module that defines it"
