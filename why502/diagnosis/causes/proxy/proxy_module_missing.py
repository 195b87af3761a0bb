"""The module for this scheme or feature is not loaded.

Apache logs AH01144 "No protocol handler was valid for the URL" and answers 500. nginx reports "unknown directive" for a module
that is not built in. A directive in `.htaccess` whose module is not enabled ("Invalid command 'Header', perhaps misspelled or
defined by a module not included") makes Apache answer 500 to every request below that directory.

## Do not confuse with
- `proxy-config-invalid`: the configuration is rejected for another reason.

## Confirm
- `apachectl -M` or `nginx -V` does not list the module.

## Fix
- Load the module, then reload the proxy.
- Apache: `a2enmod proxy_http` (proxy_fcgi, proxy_wstunnel …).
- nginx: the directive is load_module.

## References
- https://httpd.apache.org/docs/2.4/mod/mod_proxy.html
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.finding import PROOF, Layer
from why502.model.logs import Symptom
from why502.model.patterns import lazy
from why502.model.remedy import Remedy

_COMMAND = lazy(r"Invalid command '(?P<name>[^']{1,60})'")
# The httpd module that defines each directive. [httpd 2.4, directive index]
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


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the remedy: the module that defines the directive which Apache does not know."""
    tally = case.tally(Symptom.MODULE_MISSING)
    match = _COMMAND.search(tally.detail) if tally else None
    if match is None:
        return
    name = match["name"]
    module = next((module for pattern, module in _MODULES if pattern.fullmatch(name)), "")
    if _PHP.fullmatch(name):
        yield Remedy(message=f"move {name} to .user.ini or to the pool's configuration: PHP-FPM does not read it from .htaccess")
    elif module:
        yield Remedy(
            message=f"enable mod_{module}, which defines {name}: `a2enmod {module}`, then restart Apache; or remove the line"
        )
    else:
        yield Remedy(message=f"correct the name of {name}, or enable the module that defines it")


CAUSE = Cause(
    id="proxy-module-missing",
    layer=Layer.PROXY,
    message="the module for this scheme or feature is not loaded",
    symptoms={Symptom.MODULE_MISSING: PROOF},
    remedies=remedies,
)
