"""Bundles: a saved snapshot is loaded unchanged, without secrets; foreign or huge files are refused."""

from __future__ import annotations

import gzip
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import values
from hypothesis import HealthCheck, given, settings

import why502
from why502.bundle import LIMIT_BYTES, SCHEMA, Bundle, load, redacted, save
from why502.config.tree import content
from why502.gateways.nginx.config import parse
from why502.gateways.nginx.config.load import load_dump
from why502.model.config import Peer, Position, Route, Setting
from why502.model.errors import Why502Error
from why502.model.process import Process
from why502.model.proxy import ConfigFile, Proxy
from why502.model.snapshot import Event, Snapshot
from why502.redaction import in_place
from why502.render.contract import schema_of

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.why502"))
SECRETS = {
    "header": 'proxy_set_header Authorization "Basic dXNlcjpTRUNSRVQ=";',
    "bearer": "proxy_set_header Authorization 'Bearer SECRET.x.y';",
    "cookie": 'proxy_set_header Cookie "session=SECRET";',
    "key": "proxy_set_header X-Api-Key SECRET;",
    "variable": 'set $api_token "SECRET";',
    "fastcgi": "fastcgi_param DB_PASSWORD SECRET;",
    "environment": "env SECRET_KEY=SECRET;",
    "user": "proxy_pass http://user:SECRET@127.0.0.1:3001;",
    "query": "proxy_pass http://127.0.0.1:3001/?token=SECRET;",
    "cookies": 'proxy_set_header Cookie "a=1; session=SECRET; b=SECRET";',
    "own-header": "proxy_set_header X-Internal-Key SECRET;",
    "auth-header": "proxy_set_header X-Auth 'SECRET';",
    "short": "fastcgi_param DB_PASS SECRET;",
    "application-key": "fastcgi_param APP_KEY base64:SECRET=;",
    "link": "secure_link_secret SECRET;",
    "hash": 'secure_link_md5 "$secure_link_expires$uri SECRET";',
    "compared": 'if ($http_x_token != "SECRET") { return 403; }',
    "compared-word": "if ($arg_key = SECRET) { return 403; }",
    "mapped": 'map $http_authorization $known { "Bearer SECRET" 1; }',
    "comment": "gzip on; # the old password: SECRET",
}
slow = settings(deadline=None, suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large))


def packed(**fields: object) -> bytes:
    """Return a bundle with this content."""
    return gzip.compress(
        json.dumps({"schema": SCHEMA, "why502": "1", "snapshot": {"taken_at": "2026-11-21T00:00:00Z"}, **fields}).encode()
    )


@slow
@given(values.of(Snapshot))
def test_a_saved_snapshot_is_loaded_unchanged(snapshot: Snapshot) -> None:
    assert why502.load(why502.save(snapshot)) == redacted(snapshot)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_removing_secrets_twice_changes_nothing(path: Path) -> None:
    snapshot = why502.load(path.read_bytes())
    assert redacted(snapshot) == snapshot
    assert why502.save(snapshot) == why502.save(snapshot)


@pytest.mark.parametrize("line", SECRETS.values(), ids=SECRETS)
def test_no_secret_of_a_configuration_is_kept_and_no_byte_moves(line: str) -> None:
    text = f"http {{\n    # ä\n    {line}\n    listen 80;\n}}\n"
    kept = in_place(text)
    assert "SECRET" not in kept.replace("SECRET_KEY", "")
    assert "dXNlcjpTRUNSRVQ" not in kept
    assert len(kept.encode()) == len(text.encode())
    assert [len(row) for row in kept.split("\n")] == [len(row) for row in text.split("\n")]
    assert in_place(kept) == kept
    before, after = (parse(content(ConfigFile(path="a", text=each)), "a") for each in (text, kept))
    assert [word.start for item in before.items for word in getattr(item, "head", ())] == [
        word.start for item in after.items for word in getattr(item, "head", ())
    ]


@pytest.mark.parametrize("line", SECRETS.values(), ids=SECRETS)
def test_no_secret_leaves_in_a_bundle(line: str) -> None:
    snapshot = Snapshot(
        taken_at=values.NOW,
        proxies=(Proxy(files=(ConfigFile(path="/etc/nginx/nginx.conf", text=f"http {{ {line} }}"),)),),
        processes=(
            Process(pid=1, argv=("app", "--password", "SECRET", "--token=SECRET", "postgres://app:SECRET@db/app")),
            Process(pid=2, argv=("env", "API_KEY=SECRET", "run")),
        ),
        events=(
            Event(symptom="application-error", message="login failed: Authorization: Bearer abc.SECRET.1", source="app.log:1"),
        ),
    )
    data = gzip.decompress(why502.save(snapshot)).decode()
    assert "SECRET" not in data.replace("SECRET_KEY", "")


def test_an_address_always_gets_the_same_pseudonym() -> None:
    snapshot = Snapshot(
        taken_at=values.NOW, host="h", addresses=("203.0.113.9", "127.0.0.1", "2001:470::9", "::1", "203.0.113.9")
    )
    once, local, six, local_six, again = why502.load(why502.save(snapshot, anonymize=True)).addresses or ()
    assert (local, local_six, again) == ("127.0.0.1", "::1", once)
    assert once != "203.0.113.9"
    assert six != "2001:470::9"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is not a why502 bundle"),
        (b"PK\x03\x04", "is not a why502 bundle"),
        (b"\x1f\x8b", "damaged"),
        (packed()[:-9], "damaged"),
        (gzip.compress(b"{"), "truncated"),
        (gzip.compress(b"[]"), "object"),
        (packed(schema="why502.bundle/1"), "why502.bundle/1"),
        (packed(snapshot={}), "taken_at"),
        (packed(snapshot={"taken_at": "2026-11-21T00:00:00Z", "listeners": [{"target": 5}]}), r"$.snapshot.listeners[0].target"),
        (packed(snapshot={"taken_at": "2026-11-21T00:00:00Z", "no_such": 1}), "no_such"),
        (gzip.compress(b"[" * 1_000_000), "x.why502"),
        (b"\x1f\x8b" + bytes(LIMIT_BYTES), "too large"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_other_files_are_refused_in_two_lines(data: bytes, message: str) -> None:
    with pytest.raises(Why502Error, match=re.escape(message)) as error:
        why502.load(data, "x.why502")
    assert "x.why502" in error.value.message
    assert error.value.hint


def test_an_archive_bomb_is_refused() -> None:
    with pytest.raises(Why502Error, match="64 MiB"):
        why502.load(gzip.compress(bytes((64 << 20) + 1), 1), "x.why502")


def test_its_schema_is_that_of_the_types() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(schema_of(Bundle, SCHEMA))
    for path in GOLDEN:
        validator.validate(json.loads(gzip.decompress(save(load(path.read_bytes(), path.name)))))
    assert list(validator.iter_errors({"schema": SCHEMA}))
    assert msgspec.json.encode(schema_of(Bundle, SCHEMA))


def test_no_secret_of_a_route_is_kept() -> None:
    route = Route(
        settings={
            "proxy_set_header": (Setting(args=("X-Internal-Key", "SECRET")), Setting(args=("X-Auth-User", "$remote_user"))),
            "secure_link_secret": (Setting(args=("SECRET",), at=Position(file="/etc/nginx/nginx.conf", line=3)),),
        },
        headers=(("X-Auth", "SECRET"), ("Host", "shop.example")),
        if_conditions=('$http_x_token != "SECRET"',),
        peers=(Peer(name="user:SECRET@127.0.0.1:3001"),),
    )
    snapshot = Snapshot(taken_at=datetime(2026, 11, 21, tzinfo=UTC), proxies=(Proxy(routes=(route,)),))
    (kept,) = (redacted(snapshot).proxies or (Proxy(),))[0].routes
    assert "SECRET" not in repr(kept)
    assert kept.settings["proxy_set_header"][1].args == ("X-Auth-User", "$remote_user")
    assert kept.settings["secure_link_secret"][0].at == Position(file="/etc/nginx/nginx.conf", line=3)
    assert kept.headers[1] == ("Host", "shop.example")


def test_the_peers_of_a_group_are_written_once() -> None:
    """A bundle grows with peers and routes, not with their product; what is read is what was written."""

    def snapshot(peers: int, routes: int) -> Snapshot:
        servers = "".join(f"server 10.0.{i // 250}.{i % 250 + 1}:80;" for i in range(peers))
        places = "".join(f"location /{i}/ {{ proxy_pass http://big; }}" for i in range(routes))
        text = f"http {{ upstream big {{ {servers} }} server {{ {places} }} }}"
        found = load_dump(f"# configuration file /etc/nginx/nginx.conf:\n{text}\n".encode())
        proxy = Proxy(routes=found.routes, upstreams=found.upstreams)
        assert all(route.peers is found.upstreams[0].peers for route in found.routes)
        return Snapshot(taken_at=datetime(2026, 1, 1, tzinfo=UTC), proxies=(proxy,))

    few, many = snapshot(200, 10), snapshot(200, 20)
    assert load(save(many), "x") == many
    sizes = [len(gzip.decompress(save(one))) for one in (few, many)]
    assert sizes[1] < 1.3 * sizes[0]
