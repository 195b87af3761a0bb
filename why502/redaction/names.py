"""Classifies names: whether the value of a name is a secret, may be one, or is not.

A name is split into words at punctuation and at capital letters. Its last word says what the value is (`DB_PASSWORD`,
`token_ttl`). A secret's word at the end of a name decides; earlier in the name it leaves doubt. A value in doubt is a secret
unless the value itself shows that it is not.
"""

from __future__ import annotations

import re
from enum import IntEnum
from functools import lru_cache
from itertools import pairwise

from why502.model.patterns import lazy

LONGEST_NAME = 80
_SPLIT = lazy(r"[A-Z]{1,40}(?![a-z])|[A-Z]?[a-z]{1,80}")


class Promise(IntEnum):
    """How likely the value of a name is a secret."""

    NOTHING = 0
    RANDOM = 1  # a secret if it looks random: `key`, `session`, or a secret's word followed by other words
    SECRET = 2  # a secret unless the value shows that it is none
    HEADER = 3  # like SECRET; an unquoted value extends to the end of the line


# Words that mean a secret at the end of a name.
_SECRETS = frozenset(
    "password passwd passwort pass pwd passphrase pw passcode secret secrets token apikey apikeys jwt otp totp pin"
    " csrf xsrf csrftoken sessid phpsessid jsessionid aspsessionid sessionid sid credential credentials creds cred"
    " bearer signature sig hmac salt pepper psk authtoken accesstoken refreshtoken clientsecret privatekey secretkey"
    " signkey passkey cookies cookie authorization requirepass masterauth keypass storepass userpass rootpass dbpass"
    " mypass bindpw remembertoken auth webhook hook csrfmiddlewaretoken viewstate samlresponse samlrequest assertion"
    " verifier pat apitoken sessionkey laravel_session mfa".split()
)
# The same, for words that often come in the plural or with a number.
_SEVERAL = frozenset("tokens passwords keys sessions".split())
# Words before `key` (or `keys`) that make it the name of a secret.
_OF_KEYS = frozenset(
    "api secret private access auth app application signing sign encryption encrypt crypt crypto master license"
    " account shared storage session cookie jwt hmac webhook stripe aws azure gcp google openai subscription service"
    " server client internal admin deploy security hash license licence signature token apikey sas user root dynamic"
    " ocsp mailgun sendgrid consumer bearer x arg http hdr header ssh logged nonce integration ingest write".split()
)
_HEADERS = frozenset("authorization cookie".split())
# Endings that do not change the meaning: SECRET_KEY_BASE, password_confirmation, TOKEN_V2, api_key_prod.
_PASSED_OVER = frozenset(
    "base base64 b64 hash hashed value val raw old new current previous next prod production dev staging live test"
    " default confirmation confirm again plain plaintext text encrypted enc string str data v main primary secondary"
    " backup inline".split()
)
# Endings that mean something other than a secret: a place, a size, a time, a switch, a name.
_OTHER_ENDS = frozenset(
    "file files path paths dir directory directory ttl timeout time length len min max size bytes count total limit"
    " name names type types kind url uri host hostname port enabled enable disabled required expires expire expiry"
    " expiration age policy driver provider domain service services server endpoint realm header headers prefix suffix"
    " algorithm alg algo rotation reset field fields param method methods cache bucket used usage version parallelism"
    " mode format encoding lifetime maxlifetime minutes seconds interval retries store storage backend table column"
    " class controller model module filter handler middleware interceptor validator provider manager factory exception"
    " error errors config conf settings options java php py rb js ts go jar so log logs html css json yml yaml pem crt"
    " cert certificate httponly samesite secure strict path flags bits strength complexity attempts tries status state"
    " result required valid missing rate zone threads user username login email role scope scopes audience issuer"
    " group owner member template view page form route enabled address bean attr attribute position location lock"
    " check checker test tests review binding ref reference selector socket sock agent command cmd program console"
    " wall conditions dialog module request requests budget per id ids number no index order label description title"
    " hint policy at on by from to with is".split()
)
_FIRST_WORDS = frozenset("max min num number total count has is use uses no without allow allows enable require requires".split())
_WEAK = frozenset("key keys session sessions code state nonce hash license cert dsn private access sign".split())
# Word endings within a name written as one word: PGPASSWORD, SSLPassPhrase, authtoken.
_RUN_TOGETHER = ("password", "passwd", "passphrase", "secret", "token", "apikey", "sessionid", "credentials", "secretkey")
_PROXIES = frozenset("proxy fastcgi uwsgi scgi grpc memcached js tunnel tcp".split())  # proxy_pass, ProxyPass
_PUBLIC = frozenset(
    "gpg public pub host foreign primary partition sort cache group registry translation unique natural composite row".split()
)


@lru_cache(8192)
def promise(name: str) -> Promise:
    """Return how likely the value of a name is a secret."""
    words = [word.lower() for word in _SPLIT.findall(name[-LONGEST_NAME:])]
    while len(words) > 1 and words[-1] in _PASSED_OVER:
        words.pop()
    if not words:
        return Promise.NOTHING
    if len(words) == 2 and ((words[1] == "pass" and words[0] in _PROXIES) or words[0] == "load"):
        return Promise.NOTHING
    joined = "".join(words[-2:])
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last in _HEADERS or last == "cookies":
        return Promise.HEADER
    if words[0] in _FIRST_WORDS and last not in _SECRETS:
        return Promise.NOTHING
    if words[0] in ("max", "min", "num") or (words[0] in _FIRST_WORDS and len(words) > 1 and last in _SEVERAL):
        return Promise.NOTHING
    if last in _SECRETS or last.endswith(_RUN_TOGETHER) or (joined in _SECRETS and before):
        return Promise.SECRET
    if last in ("key", "keys") and before in _OF_KEYS and words[-3:-1] != ["proxy", "cache"]:
        return Promise.SECRET
    if last in _SEVERAL or last in _WEAK:
        return Promise.RANDOM if before not in _PUBLIC and last != "hash" else Promise.NOTHING
    if any(word in _SECRETS and word not in ("auth", "pin", "cookie", "hook", "sid", "pass") for word in words):
        return Promise.NOTHING if last in _OTHER_ENDS else Promise.RANDOM
    if any(one == "key" and other in _OF_KEYS for other, one in pairwise(words)):
        return Promise.NOTHING if last in _OTHER_ENDS and last != "id" else Promise.RANDOM
    return Promise.NOTHING


# Values that are recognisably not secrets.
_EMPTY = lazy(
    r"(?i)(?:|-|\*{1,64}|x{1,4096}|\.{2,8}|…|\?|null|none|nil|undefined|true|false|yes|no|on|off|ok|enabled|disabled|required|optional|any"
    r"|default|missing|invalid|expired|unset|empty|string|str|bytes|object|int|integer|bool|boolean|basic|bearer|digest|negotiate|ntlm|builtin|strict|lax|all"
    r"|\[?\(?<?(?:removed|filtered|redacted|masked|hidden|omitted)>?\)?\]?:?|[\[<(](?:secret|sensitive|protected|password|token)[\]>)]"
    r"|\$\$?|&|changeit\?)"
)
_PLACEHOLDER = lazy(
    r"\$[A-Za-z_]\w{0,80}|\$\{[^}]{0,80}\}|\$\((?:cat|pass|vault|aws|op|gcloud|kubectl)\s[^)]{0,200}\)|%\{[^}]{0,80}\}"
    r"|%\[[^\]]{0,120}\]|\{\{[^}]{0,80}\}\}|%[\w.]{1,40}%?|<[\w -]{1,40}>|expr=%\{.{0,80}"
)
_VARIABLES = lazy(r"(?:\$\w{1,80}|\$\{[^}\s]{1,80}\}|[\s/:?&=.,;|_^$-]|%\{[^}]{1,80}\}|%\[[^\]]{1,120}\]){1,4096}")
_PATH = lazy(r"(?:file:)?(?:/|\./|\.\./|~/)[\w./@+-]{0,255}")
_FILE = lazy(
    r"\A[\w/.-]{1,200}\.(?:pem|key|crt|cert|cer|jks|p12|pfx|der|pub|conf|env|json|ya?ml|txt|so|sh|html?|php|css|js|log|sock|htpasswd)"
)
_TIME = lazy(r"-?\d{1,6}(?:\.\d{1,9})?(?:ms|us|ns|s|m|h|d|w|y|k|kb|mb|gb|kib|mib|gib|%)?", re.IGNORECASE)
_SHORT_NUMBER = lazy(r"-?\d{1,3}")


def is_empty(value: str) -> bool:
    """Return whether a value is empty, a placeholder, or made of variables only."""
    return bool(_EMPTY.fullmatch(value) or _PLACEHOLDER.fullmatch(value) or _VARIABLES.fullmatch(value))


def placeholder_end(text: str, start: int) -> int:
    """Return the end of the placeholder at `start`; `start` if there is none."""
    found = _PLACEHOLDER.match(text, start, start + 300)
    return found.end() if found else start


def is_place(value: str) -> bool:
    """Return whether a value is a path or file without random-looking parts."""
    if not (_PATH.fullmatch(value) or _FILE.fullmatch(value)):
        return False
    return not any(looks_random(part) for part in re.split(r"[/.]", value))


_HEX = lazy(r"[0-9a-fA-F]{16,}")
_WORDS = lazy(
    r"[a-z]{1,80}(?:[-_./ ][a-z]{1,80}){0,60}|[A-Z]{1,80}(?:[-_./ ][A-Z]{1,80}){0,60}|[A-Z]?[a-z]{1,60}(?:[A-Z][a-z]{1,60}){0,20}"
)
_ADDRESS = lazy(
    r"[\w.-]{1,200}:\d{1,5}|\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5}|/\d{1,2})?|v?\d{1,6}(?:\.\d{1,6}){1,5}(?:-[a-z0-9.]{1,20})?|[a-z][a-z-]{1,40}[-.]?v?\d{1,3}"
)
_PIECES = lazy(
    r"(?:(?:[a-z]{1,40}|[A-Z][a-z]{0,40}|[A-Z]{1,40})\d{0,3}|\d{1,6})(?:[:/._=,-]{1,3}(?:(?:[a-z]{1,40}|[A-Z][a-z]{0,40}|[A-Z]{1,40})\d{0,3}|\d{1,6}))*+"
)
_DATE = lazy(r"\d{4}-\d\d-\d\d(?:[T ][\d:.Z+-]{1,30})?")


@lru_cache(8192)
def looks_random(value: str) -> bool:
    """Return whether a value looks machine-generated: long, of letters and digits or of mixed case, and not a word or address."""
    if len(value) < 8 or is_empty(value) or _WORDS.fullmatch(value) or _ADDRESS.fullmatch(value) or _DATE.fullmatch(value):
        return False
    if _PIECES.fullmatch(value) and not value.isalnum():
        return False
    if _HEX.fullmatch(value):
        return not value.isdigit() or len(value) >= 24
    letters, digits = sum(map(str.isalpha, value)), sum(map(str.isdigit, value))
    if letters + digits < 0.7 * len(value):
        return False
    return bool(digits and letters >= 2) or (len(value) >= 16 and _changes(value) >= 4)


def _changes(value: str) -> int:
    """Return the number of transitions from a lower-case to an upper-case letter."""
    return sum(one.islower() and other.isupper() for one, other in pairwise(value))


def is_secret(value: str, expected: Promise) -> bool:
    """Return whether a value must be masked, given how likely its name means a secret."""
    if expected is Promise.NOTHING or is_empty(value):
        return False
    if expected is Promise.RANDOM:
        return looks_random(value) and not is_place(value) and "://" not in value
    return not is_place(value) and not _SHORT_NUMBER.fullmatch(value)
