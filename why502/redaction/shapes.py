"""Secrets recognised by their own shape, or by their position in a command, call, address or block."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from why502.model.patterns import lazy
from why502.redaction.names import Promise, is_empty, is_place, is_secret, looks_random, promise

Span = tuple[int, int]

# Token formats of their issuers. The whole token is masked.
_TOKENS = lazy(
    r"(?<![A-Za-z0-9])(?:"
    r"eyJ[\w-]{8,4096}(?:\.[\w-]{0,4096}){1,4}(?:%3D){0,2}|(?:AKIA|ASIA|ABIA|ACCA|AROA|AIDA)[0-9A-Z]{16}|gh[pousr]_\w{20,255}|github_pat_\w{20,255}"
    r"|gl(?:pat|dt|ptt|soat|rt|cbt|ft|agent|oas)-[\w.-]{16,255}|xox[abeprs]-[\w-]{10,255}|xapp-\d-[\w-]{10,255}|[srp]k_(?:live|test|prod)_\w{8,255}|whsec_[\w+/=-]{16,255}"
    r"|AIza[\w-]{30,64}|ya29\.[\w.-]{20,1024}|1//0[\w-]{20,255}|GOCSPX-[\w-]{20,64}|SG\.[\w-]{16,64}\.[\w-]{16,64}|npm_\w{30,64}|pypi-[\w-]{20,512}|do[opr]_v1_[0-9a-f]{32,128}"
    r"|shp(?:at|ca|pa|ss|tka)_[0-9a-fA-F]{24,64}|hf_[A-Za-z0-9]{24,64}|sk-[A-Za-z0-9][\w-]{19,255}|hv[sbr]\.[\w-]{20,512}|AGE-SECRET-KEY-1[0-9A-Z]{20,64}"
    r"|pat-[a-z]{2,3}\d-[0-9a-f-]{30,40}|EAA[A-Za-z0-9]{40,512}|dckr_(?:pat|oat)_[\w-]{20,64}|glsa_\w{20,64}|glc_[\w+/=-]{20,255}|sq0[a-z]{3}-[\w-]{20,64}|lin_(?:api|oauth)_\w{20,64}"
    r"|PMAK-[0-9a-f]{20,32}-[0-9a-f]{20,64}|tskey-[a-z]{2,12}-[\w-]{16,128}|key-[0-9a-f]{32}|\w{20,64}NRAL|NRAK-[0-9A-Z]{20,40}|dapi[0-9a-f]{32}|r8_\w{30,64}|rubygems_[0-9a-f]{40,64}"
    r"|atlasv1\.[\w-]{20,128}|sntr[ysu]{1,3}_[\w+/=-]{20,255}|phc_\w{30,64}|figd_[\w-]{20,64}|nfp_\w{30,64}|secret_\w{40,64}|ATATT3[\w=-]{20,255}|vlt_\w{16,64}|xkeysib-[\w-]{20,128}|BBDC-\w{20,64}"
    r"|(?:\d{8,10}:AA[\w-]{30,40})"
    r")"
)
TOKEN_BEGINS = (
    "eyJ AKIA ASIA ABIA ACCA AROA AIDA ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ glpat- gldt- glptt- glsoat- glrt- glcbt- glft- "
    "glagent- gloas- xox xapp- k_live_ k_test_ k_prod_ whsec_"
    " AIza ya29. 1//0 GOCSPX- SG. npm_ pypi- dop_v1 doo_v1 dor_v1 shpat_ shpca_ shppa_ shpss_ shptka_ hf_ sk- hvs. hvb. hvr. "
    "AGE-SECRET pat- EAA dckr_ glsa_ glc_ sq0 lin_ PMAK-"
    " tskey- key- NRAL NRAK- dapi r8_ rubygems_ atlasv1. sntr phc_ figd_ nfp_ secret_ ATATT3 vlt_ xkeysib- BBDC- :AA"
).split()
# Hashes of passwords (crypt(5), LDAP's userPassword).
_HASHES = lazy(
    r"\$(?:apr1|1|2[abxy]?|5|6|7|y|gy|argon2(?:id|i|d)|scrypt|pbkdf2[\w-]{0,20})\$[\w./$=,+-]{16,512}|\{(?:SSHA|SHA|SMD5|MD5|CRYPT|SSHA\d{3})\}[\w+/=$.]{12,256}"
)
_PEM = lazy(r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----|Private-Lines: \d{1,4}")
_BODY = lazy(r"(?:\s|\\|[A-Za-z0-9+/=:,.%\[\]\"'-])*+")
# scheme://user:password@host. A password may contain an @, and a slash if it cannot be mistaken for a port.
_USERINFO = lazy(
    r"//(?P<user>[^\s/?#\"'<>`]{1,512})@|//(?P<slash>[^\s:/@\"'<>]{0,64}:(?!\d{1,5}(?:[/\s\"'?#]|$))[^\s@\"'<>]{1,256})@(?=[\w\[])"
)
# The same without a scheme, as in nginx's quoted addresses, in strings of Go drivers, and in commands.
_BARE_USERINFO = lazy(r"(?<![\w:/@.-])(?P<user>[\w.+%-]{0,64}[:/](?!/)[^\s/?#@\"'<>:]{1,256})@(?!sha\d)(?=[\w\[(*$/-])")
_SCHEMES = lazy(
    r"(?i)(?<![\w/])(?:bearer|basic|digest|negotiate|token)(?:\s{1,4}|\\\s|%20|\+)(?=[\w+/~.-]{0,4096}[\d=.+/]|[A-Za-z]{20})(?!realm=|error=|HTTP/|v?\d{1,6}(?:\.\d{1,6}){0,4}\b)(?P<v>[\w+/=.~-]{8,4096})"
)
# Each with the substring that the lower-case text must contain.
_PLACES: tuple[tuple[tuple[str, ...], re.Pattern[str]], ...] = (
    # webhooks: their path is the secret
    (("hooks.slack",), lazy(r"(?i)hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/(?P<v>[^\s\"'<>]{8,512})")),
    (("discord",), lazy(r"(?i)discord(?:app)?\.com/api/(?:v\d{1,2}/)?webhooks/\d{1,24}/(?P<v>[\w-]{8,512})")),
    (("webhook",), lazy(r"(?i)\.office(?:365)?\.com/webhook(?:b2)?/(?P<v>[^\s\"'<>]{8,1024})")),
    (("zapier",), lazy(r"(?i)hooks\.zapier\.com/hooks/catch/\d{1,12}/(?P<v>\w{4,64})")),
    (("ifttt",), lazy(r"(?i)maker\.ifttt\.com/trigger/[^\s/]{1,80}/with/key/(?P<v>[\w-]{8,64})")),
    (("/bot",), lazy(r"(?i)/bot(?P<v>\d{6,12}:[\w-]{20,64})")),
    # (S(session)) of ASP.NET
    (("s(",), lazy(r"/\((?:[A-Z]\([\w-]{4,80}\)){0,3}S\((?P<v>[\w-]{10,80})\)")),
    # commands
    (
        (
            "mysql",
            "mariadb",
            "xtrabackup",
        ),
        lazy(
            r"\b(?:mysql|mariadb|mysqldump|mysqladmin|mariadb-dump|mysqlimport|mysqlcheck|xtrabackup)\b[^\n|;&]{0,200}?\s-p(?P<v>(?!assw|ort|rot)[^\s\"']{1,128})"
        ),
    ),
    (("sshpass",), lazy(r"\bsshpass\s{1,4}-p\s{0,4}['\"]?(?P<v>[^\s'\"]{1,128})")),
    (
        ("login",),
        lazy(
            r"\b(?:docker|podman|helm|skopeo|buildah|oc|az|cf)\b[^\n|;&]{0,40}"
            r"\blogin\b[^\n|;&]{0,200}?\s-p[= ]{1,4}['\"]?(?P<v>[^\s'\"]{1,256})"
        ),
    ),
    (
        (
            "-u",
            "-a ",
            "--auth",
            "--user",
            "--proxy-user",
        ),
        lazy(
            r"\b(?:curl|wget|http|https|etcdctl|smbclient|elasticdump|lftp|svn|rclone)\b[^\n|;&]{0,300}?\s(?:-u|-U|-a|--auth"
            r"|--user|--proxy-user)[= ]{0,4}['\"]?[^\s:%'\"]{1,80}[:%](?P<v>[^\s'\"]{1,256})"
        ),
    ),
    (("redis-cli",), lazy(r"\bredis-cli\b[^\n|;&]{0,200}?\s-a\s{1,4}['\"]?(?P<v>[^\s'\"]{1,256})")),
    (
        ("ldap",),
        lazy(r"\bldap(?:search|modify|add|delete|whoami|passwd)\b[^\n|;&]{0,200}?\s-w\s{1,4}['\"]?(?P<v>[^\s'\"]{1,256})"),
    ),
    (("htpasswd",), lazy(r"\bhtpasswd\s{1,4}-\w{0,6}b\w{0,6}\s{1,4}\S{1,256}\s{1,4}\S{1,80}\s{1,4}(?P<v>\S{1,256})")),
    (
        ("rabbitmqctl",),
        lazy(r"\brabbitmqctl\s{1,4}(?:add_user|change_password|authenticate_user)\s{1,4}\S{1,80}\s{1,4}(?P<v>\S{1,256})"),
    ),
    (("vault",), lazy(r"\bvault\s{1,4}login\s{1,4}(?P<v>(?!-)\S{8,512})")),
    (("pass:",), lazy(r"(?:-pass(?:in|out)?\s{1,4}|\s)pass:(?P<v>[^\s\"']{1,256})")),
    (("sslpassphrasedialog",), lazy(r"(?i)\bSSLPassPhraseDialog\s{1,8}['\"]?exec:\S{1,256}\s{1,4}(?P<v>[^\s'\"]{1,256})")),
    (("setcredential",), lazy(r"(?i)\bSetCredential(?:Encrypted)?=[\w.-]{1,80}:(?P<v>[^\s]{1,8192})")),
    # statements
    (
        ("identified",),
        lazy(
            r"(?i)\bidentified\s{1,8}(?:with\s{1,8}\S{1,40}\s{1,8})?(?:by|as)\s{1,8}(?:password\s{1,8})?['\"](?P<v>[^'\"\n]{1,512})"
        ),
    ),
    (("auth ",), lazy(r"(?:^|[\n\s\"'>])AUTH\s{1,4}(?:PLAIN|LOGIN|CRAM-MD5|XOAUTH2)\s{1,4}(?P<v>[\w+/=]{4,1024})")),
    (
        ("auth",),
        lazy(
            r"(?:^|\n|\bsend\s)\s{0,4}AUTH(?:\\?\s){1,4}(?!(?:PLAIN|LOGIN|failed|error|required|command)\b)(?:\S{1,80}\s{1,4})?(?P<v>[^\s\\]{1,256})"
        ),
    ),
    (('"auth"',), lazy(r"\"AUTH\"\s{1,4}(?:\"[^\"\n]{1,80}\"\s{1,4})?\"(?P<v>[^\"\n]{1,512})\"")),
    (("redis2_query",), lazy(r"(?i)\bredis2_query\s{1,8}auth\s{1,8}(?P<v>[^\s;]{1,256})")),
    ((":auth(",), lazy(r"(?i)\bred(?:is)?:auth\(\s{0,4}['\"](?P<v>[^'\"\n]{1,256})")),
    (("password",), lazy(r"(?i)(?:\bpassword\s{1,4})(?P<q>['\"])(?P<v>[^'\"\n]{1,256})(?P=q)\s{0,4};")),
    # calls that connect: the third argument
    (
        (
            "__construct(",
            "connect('",
            'connect("',
            "pdo(",
            "authenticate(",
            "bind(",
            "mysqli(",
        ),
        lazy(
            r"(?i)(?:__construct|connect|\bpdo|authenticate|bind|new mysqli)\((?:'[^'\n]{0,256}'|\"[^\"\n]{0,256}\""
            r"|[\w\[\]]{1,80})\s{0,4},\s{0,4}(?:'[^'\n]{0,128}'|\"[^\"\n]{0,128}\"|[\w\[\]]{1,80})\s{0,4},\s{0,4}['\"](?P<v>[^'\"\n]{1,256})"
        ),
    ),
    # nginx
    (
        ("secure_link",),
        lazy(
            r"(?i)\bsecure_link(?:_hmac)?_(?:secret|md5|message)\s{1,8}(?P<words>\"[^\"\n]{1,1024}\"|'[^'\n]{1,1024}'|[^;\n]{1,1024})"
        ),
    ),
    (
        ("sub_filter",),
        lazy(r"(?i)\bsub_filter\s{1,8}['\"]?\S{0,60}(?:token|secret|passw|key|auth)\S{0,60}\s{1,8}['\"]?(?P<v>[^'\";\n]{8,512})"),
    ),
    (("auth_basic_user_inline",), lazy(r"(?i)\bauth_basic_user_inline\s{1,8}['\"]?[^:\s]{1,80}:(?P<v>[^'\";\n]{1,512})")),
    (
        (
            "$cookie_",
            "$arg_",
            "$http_",
        ),
        lazy(
            r"(?i)\bif\s{0,8}\(\s{0,8}\$(?:cookie|arg|http)_\w{1,80}\s{1,8}!?[=~]\*?\s{1,8}['\"]?\^?(?P<maybe>[\w+/=.-]{12,512})"
        ),
    ),
    (
        (
            "hdr(",
            "cook(",
            "url_param(",
            "urlp(",
            "var(",
        ),
        lazy(
            r"\b(?:hdr|fhdr|cook|url_param|urlp|var)\([^()\s]{1,120}\)(?:\s{1,4}-[im](?:\s{1,4}(?:str|beg|end|sub|reg))?){0,3}\s{1,4}(?P<maybe>[\w+/=.-]{8,512})"
        ),
    ),
    (("sec-websocket-protocol",), lazy(r"(?i)\bsec-websocket-protocol:[^\n]{0,80}?,\s{0,4}(?P<maybe>[\w.~+/=-]{16,4096})")),
    # a custom header that is set to a random value
    (
        ("x-",),
        lazy(
            r"(?i)(?:_set_header|add_header|set-header|add-header|requestheader\s{1,8}(?:set|add|append|merge)|_set_headers)\s{1,8}['\"]?x-(?!request-|correlation-|trace)[\w-]{1,80}['\"]?\s{1,8}['\"]?(?P<maybe>[\w+/=.-]{16,512})"
        ),
    ),
    (("session",), lazy(r"(?i)\bsession(?: id| key)?\s{0,2}[:=]\s{0,2}['\"]?(?P<maybe>[\w+/=.%-]{16,512})")),
    (("sudo",), lazy(r"\becho\s{1,4}(?:-\w{1,3}\s{1,4})?['\"]?(?P<v>[^\s'\"|]{1,256})['\"]?\s{0,4}\|\s{0,4}sudo\s")),
    (("/private-",), lazy(r"/private-(?P<v>[\w-]{12,256})")),
    # {user} anchors Oracle's easy connect: app/password@db
    (("jdbc:oracle",), lazy(r"(?i)jdbc:oracle:\w{1,10}:[\w.-]{1,80}/(?P<v>[^\s@\"']{1,256})@")),
    # a cookie captured by HAProxy: between the bytes and the flags
    (("=",), lazy(r"\s\d{1,15}\s(?P<cookie>[\w.-]{1,64}=\S{6,512})\s(?:-|\S{1,512})\s[\w-]{4}\s\d")),
)
SHAPE_HINTS = tuple(dict.fromkeys(hint for hints, _ in _PLACES for hint in hints if hint != "="))
# Path segments after which the next segment is a secret.
_AFTER_SEGMENT = lazy(
    r"(?i)/(?:web)?(?:hooks?|reset(?:[-_]?password)?|invites?|invitations?|verify(?:[-_]?e?mail)?|confirm(?:ation)?|activate|activation|unsubscribe|tokens?|magic|magic[-_]?link"
    r"|share|shared|s|t|k|key|keys|auth|session|sessions|github|gitlab|bitbucket|callback|secret|feed|ical|calendar|join|preview|download|unlock|otp|recover|recovery|accept|webhook|webhooks|trigger|ping|ingest|deploy"
    r"|password[-_]?reset|signup|register|approve|optout|opt-out)"
    r"/(?P<v>[\w.~%=+-]{7,512})(?=[/?#\s\"';&,)]|\Z)"
)
SEGMENT_HINTS = tuple(
    "/reset /invit /verif /confirm /activat /unsub /magic /share /s/ /t/ /k/ /callback /github/ /gitlab/ /bitbucket/"
    " /feed/ /ical/ /calendar/ /join/ /preview/ /download/ /unlock/ /recover /accept/ /trigger/ /ping/ /ingest/"
    " /deploy/ /signup/ /register/ /approve/ /optout/ /opt-out/".split()
)
_QUERY = lazy(r"[?&;](?P<name>[\w.\[\]%-]{1,80})=(?P<v>[\w.~%+/=-]{30,4096})")
_NOT_SECRET_PARAMETERS = frozenset(
    "v ver version rev revision commit sha sha1 sha256 etag id uuid guid request_id requestid trace traceid trace_id"
    " span build hash file name path url redirect redirect_uri return next q query search from to since until date"
    " time ids cursor filter fields expand include sort digest image".split()
)
_MAP = lazy(r"\b(?:map|geo)\s{1,8}(?P<from>\S{1,200})\s{1,8}(?P<to>\$\w{1,80})\s{0,8}\{(?P<body>[^{}]{0,65536})\}")
_ROW = lazy(
    r"(?<![^\s;])(?P<key>\"(?:[^\"\\\n]|\\.){0,1024}\"|'[^'\n]{0,1024}'|[^\s;\"']{1,1024})[ \t]{1,64}"
    r"(?P<value>\"(?:[^\"\\\n]|\\.){0,1024}\"|'[^'\n]{0,1024}'|[^\s;\"']{1,1024})\s{0,64};"
)
_LITERAL = lazy(r"\$\{\w{1,80}\}|\$\w{1,80}|[^\s\"'$]{1,1024}")
_UUID = lazy(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def _has_one(text: str, parts: Iterable[str]) -> bool:
    for part in parts:  # noqa: SIM110 - `any` costs twice as much, and this runs for every line that is shown
        if part in text:
            return True
    return False


def shapes(text: str, lower: str) -> Iterator[Span]:
    """Yield the spans of secrets recognised by their shape or position. `lower`: the text in lower case, with the same
    offsets.
    """
    if _has_one(text, TOKEN_BEGINS):
        for match in _TOKENS.finditer(text):
            yield match.span()
    if "$" in text or "{" in text:
        for match in _HASHES.finditer(text):
            yield match.span()
    if "-----BEGIN" in text or "Private-Lines" in text:
        yield from _keys(text)
    if "@" in text:
        yield from _userinfo(text)
    if any(scheme in lower for scheme in ("bearer", "basic", "digest", "negotiate", "token")):
        for match in _SCHEMES.finditer(text):
            if not is_place(match["v"]) and _is_credential(match["v"]):
                yield match.span("v")
    for hints, pattern in _PLACES:
        if _has_one(lower, hints):
            for match in pattern.finditer(text):
                yield from _placed(text, match)
    if "/" in text:
        for match in _AFTER_SEGMENT.finditer(text):
            if _is_segment(match["v"]):
                yield match.span("v")
    if "=" in text and ("?" in text or "&" in text):
        for match in _QUERY.finditer(text):
            if (
                match["name"].lower() not in _NOT_SECRET_PARAMETERS
                and looks_random(match["v"])
                and not _UUID.fullmatch(match["v"])
            ):
                yield match.span("v")
    if "map" in lower or "geo" in lower:
        yield from _maps(text)


def _is_credential(value: str) -> bool:
    """Return whether the text after `Basic` or `Bearer` is a credential and not a word of a sentence."""
    value = value.rstrip(".")
    if value.endswith("=") or looks_random(value) or "/" in value[1:] or "." in value:
        return value.lower() != value or any(map(str.isdigit, value)) or len(value) >= 20
    return value.lower() != value and not re.fullmatch(r"[A-Z]{1,40}(?:[a-z]{1,40}[A-Z]{1,40}){0,7}[a-z]{0,40}", value)


def _placed(text: str, match: re.Match[str]) -> Iterator[Span]:
    found = match.groupdict()
    if "words" in found:
        for word in _LITERAL.finditer(text, *match.span("words")):
            if not word[0].startswith("$"):
                yield word.span()
    elif "maybe" in found:
        if looks_random(match["maybe"]):
            yield match.span("maybe")
    elif "cookie" in found:
        yield match.start("cookie") + match["cookie"].index("=") + 1, match.end("cookie")
    elif not is_empty(match["v"]) and not (match["v"].startswith("$") and is_empty(match["v"])):
        yield match.span("v")


def _keys(text: str) -> Iterator[Span]:
    """Yield the text between the begin and end lines of a private key; to the end of the text if there is no end line."""
    position = 0
    while match := _PEM.search(text, position):
        end = text.find("-----END", match.end())
        body = _BODY.match(text, match.end())
        stop = body.end() if body else match.end()
        if 0 <= end <= stop or 0 <= end < match.end() + 16384:
            stop = end
        yield match.end(), stop
        position = max(stop, match.end())


def _userinfo(text: str) -> Iterator[Span]:
    for match in _USERINFO.finditer(text):
        name = "user" if match["user"] is not None else "slash"
        user = match[name]
        if (
            is_empty(user)
            or (":" not in user and not looks_random(user))
            or (is_empty(user.partition(":")[2] or "x") and ":" in user)
        ):
            if user != "[removed]":
                continue
        yield match.span(name)
    for match in _BARE_USERINFO.finditer(text):
        user = match["user"]
        name, _, password = user.partition(":") if ":" in user else user.partition("/")
        if (
            ":" in user
            and name not in ("mailto", "sip", "acct", "xmpp")
            and not is_empty(password)
            and "]" not in password
            and not (password.isdigit() and len(password) < 4)
        ):
            yield match.start("user") + len(name) + 1, match.end("user")


def _is_segment(value: str) -> bool:
    """Return whether a path segment is a secret: long and random, or a good mix of letters and digits."""
    if _UUID.fullmatch(value) or "." in value[-6:]:
        return False
    return looks_random(value) and sum(map(str.isdigit, value)) >= 2


def _maps(text: str) -> Iterator[Span]:
    """Yield the rows of nginx maps whose key or value is a secret."""
    for block in _MAP.finditer(text):
        from_, to = promise(block["from"].rpartition("$")[2]), promise(block["to"][1:])
        if not (from_ or to):
            continue
        for row in _ROW.finditer(text, *block.span("body")):
            for group, expected in (("key", from_), ("value", to)):
                value = row[group].strip("\"'").lstrip("~*^").removesuffix("$")
                scheme = re.match(r"(?i)(?:bearer|basic) ", value)
                if (
                    expected
                    and value not in ("default", "hostnames", "volatile", "include")
                    and is_secret(
                        value[scheme.end() if scheme else 0 :], max(expected, Promise.SECRET) if group == "key" else expected
                    )
                ):
                    yield row.span(group) if row[group][0] not in "\"'" else (row.start(group) + 1, row.end(group) - 1)
