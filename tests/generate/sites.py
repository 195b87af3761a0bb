"""The options of a site, column by column, for the tests of every emitter."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from pathlib import Path

from why502.generate.kind import kinds
from why502.generate.nginx.emit import Places, documents
from why502.generate.nginx.lines import dialect
from why502.generate.options import Given
from why502.generate.wishes import Around, site
from why502.generate.work import Generated, generate
from why502.host.local import LocalHost
from why502.model.errors import Why502Error

HOST = LocalHost()
AT = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
COLUMNS = {
    "apps": (
        "--app 127.0.0.1:3000",
        "--app unix:/run/app.sock",
        "--app 10.0.0.5:3000",
        "--app 127.0.0.1:3000 --app 127.0.0.1:3001=2",
        "--app 127.0.0.1:3000 --backup 127.0.0.1:3009",
        "--app [::1]:3000 --app [::1]:3001 --app [::1]:3002 --app [::1]:3003",
        "--app app.internal:3000 --resolver 127.0.0.53",
    ),
    "protocol": ("", "--protocol https --app-name app.internal", "--protocol fastcgi --root /var/www/shop", "--protocol uwsgi",
    "--protocol grpc"),
    "domain": ("", "--domain shop.example", "--domain shop.example --domain *.shop.example",
    "--domain shop.example --default-server"),
    "tls": ("--tls off", "--tls auto", "--tls CERTIFICATE"),
    "method": ("", "--method least-conn", "--method ip-hash", "--method random"),
    "health": ("", "--max-fails 5 --fail-timeout 20s"),
    "idle": ("", "--app-idle off", "--app-idle 75s"),
    "times": ("", "--read-timeout 60s", "--app-timeout 120s", "--connect-timeout 1s"),
    "websocket": ("", "--websocket /ws/"),
    "stream": ("", "--stream /events"),
    "body": ("", "--max-body 50m"),
    "header": ("", "--response-header 9k", "--response-header 100k"),
    "limit": ("", "--limit 20r/s", "--limit 90r/m --limit-dry-run"),
    "stale": ("", "--cache-stale 10m"),
    "pages": ("", "--no-error-pages"),
    "ipv6": ("", "--no-ipv6"),
    "comments": ("", "--no-comments"),
}  # fmt: skip


def given(kind: str, words: list[str]) -> Given:
    """Return the options of a command line as the command would pass them."""
    known = {option.name: option for option in kinds()[kind].options}
    found: dict[str, tuple[str, ...]] = {}
    rest = iter(words)
    for word in rest:
        value = next(rest) if known[word].metavar else ""
        found[word] = (*found.get(word, ()), value)
    return Given({name: found[name] for name in known if name in found})


def make(kind: str, line: str) -> Generated:
    """Return what a command line makes on this machine."""
    return generate(kinds()[kind], given(kind, shlex.split(line)), HOST, AT)


def line_of(row: dict[str, str], certificate: Path | None = None) -> str:
    """Return a row of COLUMNS as a command line."""
    files = f"{certificate}.pem,{certificate}.key" if certificate else "/etc/ssl/shop.pem,/etc/ssl/shop.key"
    return " ".join(part.replace("CERTIFICATE", files) for part in row.values() if part)


def fits(kind: str, row: dict[str, str]) -> bool:
    """Return whether a kind accepts a row: the options that exclude each other are refused."""
    known = {option.name for option in kinds()[kind].options}
    if any(word.startswith("--") and word not in known for word in line_of(row).split()):
        return False
    words = given(kind, shlex.split(line_of(row)))
    try:
        if kind != "nginx":
            kinds()[kind].emit(words, HOST)
        else:
            made = site(words, Around(resolvers=("127.0.0.53",)))
            documents(
                made, dialect(words.get("--nginx-version", "1.22.1")), Places(logs="/var/log/nginx", caches="/var/cache/nginx")
            )
    except Why502Error:
        return False
    return True
