"""Secrets planted all over a machine: none appears in any output, in any spelling."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from asking import ask
from msgspec import inspect
from redaction_corpus import WINDOW, Item, parts, read

from why502.bundle import load, save
from why502.diagnosis.engine import diagnose
from why502.model.finding import Diagnosis
from why502.model.process import Process
from why502.model.proxy import ConfigFile, Proxy
from why502.model.service import Service
from why502.model.snapshot import Snapshot
from why502.redaction import know
from why502.redaction.snapshots import secrets_in
from why502.render import html, markdown, terminal
from why502.render import json as as_json
from why502.render.words import Terminal

FORMS = (
    "Authorization: Bearer {}",
    "https://user:{}@db.example/",
    "GET /a?token={}&x=1 HTTP/1.1",
    '{{"password": "{}"}}',
    "DB_PASSWORD={}",
    "--api-key={}",
    "proxy_set_header X-Api-Key {};",
    "Cookie: sid={}; theme=dark",
)
NOW = datetime(2026, 11, 21, tzinfo=UTC)
PLANTED = re.compile(r"zq[0-9]{4}Qz9xK7")


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    know(())
    yield
    know(())


class Planter:
    """Creates values of types in which every text contains its own secret."""

    def __init__(self) -> None:
        self.count = 0

    def text(self) -> str:
        self.count += 1
        return FORMS[self.count % len(FORMS)].format(f"zq{self.count:04d}Qz9xK7")

    def of(self, info: inspect.Type, depth: int = 0) -> Any:
        match info:
            case inspect.StructType():
                return info.cls(**{f.name: self.of(f.type, depth + 1) for f in info.fields if f.required or depth < 7})
            case inspect.UnionType():
                kinds = [kind for kind in info.types if not isinstance(kind, inspect.NoneType)]
                return self.of(kinds[0], depth)
            case inspect.VarTupleType():
                return tuple(
                    self.of(info.item_type, depth + 1) for _ in range(2 if isinstance(info.item_type, inspect.StrType) else 1)
                )
            case inspect.TupleType():
                return tuple(self.of(item, depth + 1) for item in info.item_types)
            case inspect.DictType():
                return {self.of(info.key_type, depth + 1): self.of(info.value_type, depth + 1)}
            case inspect.StrType():
                return self.text()
            case inspect.EnumType():
                return next(iter(info.cls))
            case inspect.BoolType():
                return True
            case inspect.IntType():
                return 1
            case inspect.FloatType():
                return 0.9
            case inspect.DateTimeType():
                return NOW
            case inspect.LiteralType():
                return info.values[0]
        raise NotImplementedError(info)


def everywhere(text: str) -> str:
    """Return a text and its decoded forms, for encodings that hide a value from a plain search."""
    more = [base64.b64decode(word[: len(word) // 4 * 4]).decode("latin-1") for word in re.findall(r"[A-Za-z0-9+/]{16,}", text)]
    return "\n".join((text, *more))


def test_every_text_of_a_snapshot_is_covered() -> None:
    planter = Planter()
    snapshot = planter.of(inspect.type_info(Snapshot))
    assert planter.count >= 250
    for anonymize in (False, True):
        data = gzip.decompress(save(snapshot, anonymize=anonymize)).decode()
        assert not PLANTED.findall(everywhere(data))
    diagnosis = diagnose(snapshot)
    for shown in rendered(diagnosis):
        assert not PLANTED.findall(shown)


def test_every_text_of_a_diagnosis_is_covered() -> None:
    planter = Planter()
    diagnosis = planter.of(inspect.type_info(Diagnosis))
    diagnosis = msgspec.structs.replace(
        diagnosis,
        findings=tuple(msgspec.structs.replace(one, cause="wrong-port") for one in diagnosis.findings),
    )
    assert planter.count >= 20
    for shown in rendered(diagnosis):
        assert not PLANTED.findall(shown)


def rendered(diagnosis: Diagnosis) -> Iterator[str]:
    for render in (terminal.render, html.render, markdown.render, as_json.render, as_json.render_line):
        yield everywhere(render(diagnosis, Terminal(is_verbose=True)))


def planted(*kinds: str) -> list[Item]:
    """Return the spellings of these kinds, except multi-line ones."""
    return [item for item in read("secrets.txt", seed=7) if item.kind in kinds]


def assert_none(items: list[Item], shown: str) -> None:
    text = everywhere(shown)
    seen = parts(text)
    left = [
        (item.where, secret)
        for item in items
        for secret in item.secrets
        if (secret in text if len(secret) < WINDOW else parts(secret) & seen) or quote(secret, safe="") in text
    ]
    assert not left, left[:10]


@pytest.fixture
def machine(tmp_path: Path) -> tuple[Path, list[Item]]:
    """A directory with a configuration and logs that contain secrets in every suitable spelling."""
    config = [
        item
        for item in planted("nginx", "nested")
        if item.text.startswith(("proxy_", "set ", "fastcgi_param", "add_header", "if ", "secure_", "map "))
    ]
    maps = [item for item in config if item.text.startswith("map ")]
    rest = [item for item in config if item not in maps and not item.text.startswith("proxy_pass")]
    routes = [item for item in config if item.text.startswith("proxy_pass")]
    lines = [f"location /l{n} {{ {item.text} proxy_pass http://127.0.0.1:3000; }}" for n, item in enumerate(rest)]
    lines += [f"location /r{n} {{ {item.text} }}" for n, item in enumerate(routes)]
    text = (
        "events {}\nhttp {\n" + "\n".join(item.text for item in maps) + "\nserver {\nlisten 80;\n" + "\n".join(lines) + "\n}\n}\n"
    )
    (tmp_path / "nginx.conf").write_text(text)
    urls = [item for item in planted("url") if " " not in item.text and '"' not in item.text]
    words = [item for item in planted("log", "token", "env", "json", "shell", "php", "docker") if "\n" not in item.text]
    error, access = [], []
    for n, item in enumerate(urls):
        path = item.text if item.text.startswith("/") else f"/x?next={item.text}"
        second = f"{n // 60 % 60:02d}:{n % 60:02d}"
        error.append(
            f"2026/11/20 10:{second} [error] 7#7: *{n} connect() failed (111: Connection refused) while connecting to "
            f"upstream, client: 10.0.0.9,"
            f' server: a, request: "GET {path} HTTP/1.1", upstream: "http://127.0.0.1:3000{path}", host: "a"'
        )
        access.append(f'10.0.0.9 - - [20/Nov/2026:10:{second} +0000] "GET {path} HTTP/1.1" 502 157 "{item.text}" "curl/8"')
    for n, item in enumerate(words):
        error.append(
            f'2026/11/20 10:30:{n % 60:02d} [error] 7#7: *{n} FastCGI sent in stderr: "{item.text}" while reading '
            f"response header from upstream,"
            ' client: 10.0.0.9, server: a, request: "GET / HTTP/1.1", upstream: "fastcgi://127.0.0.1:9000", host: "a"'
        )
        error.append(item.text)
    (tmp_path / "error.log").write_text("\n".join(error) + "\n")
    (tmp_path / "access.log").write_text("\n".join(access) + "\n")
    return tmp_path, [*config, *urls, *words]


@pytest.mark.thorough
def test_no_command_shows_what_is_planted(machine: tuple[Path, list[Item]]) -> None:
    root, items = machine
    assert sum(len(item.secrets) for item in items) >= 250
    config, error, access = (str(root / name) for name in ("nginx.conf", "error.log", "access.log"))
    offline = (
        "--offline",
        "--config",
        config,
        "--log",
        error,
        "--log",
        access,
        "--since",
        "2026-11-20T00:00:00Z",
        "--until",
        "2026-11-21T00:00:00Z",
    )
    for form in ("text", "json", "jsonl", "html", "markdown"):
        answer = ask("diagnose", *offline, "--verbose", "--format", form)
        assert answer.status in (0, 1), answer.err
        assert_none(items, answer.out + answer.err)
    bundle = root / "b.why502"
    assert ask("diagnose", *offline, "--save", str(bundle)).status in (0, 1)
    assert_none(items, gzip.decompress(bundle.read_bytes()).decode())
    snapshot = load(bundle.read_bytes(), "b")
    assert_none(items, gzip.decompress(save(snapshot, anonymize=True)).decode())
    for form in ("text", "json", "html", "prometheus"):
        answer = ask("logs", error, access, "--config", config, "--format", form, "--verbose", "--top", "1000")
        assert answer.status in (0, 1), answer.err
        assert_none(items, answer.out + answer.err)
    for form in ("text", "json", "sarif", "junit", "github"):
        answer = ask("lint", config, "--format", form)
        assert answer.status in (0, 1), answer.err
        assert_none(items, answer.out + answer.err)
    for form in ("text", "json", "jsonl"):
        answer = ask("explain", "-", "--format", form, stdin=Path(error).read_bytes())
        assert_none(items, answer.out + answer.err)
    for argv in (("fix", "--bundle", str(bundle)), ("fix", "--bundle", str(bundle), "--format", "json")):
        answer = ask(*argv)
        assert_none(items, answer.out + answer.err)


def test_no_record_in_parquet_holds_what_is_planted(machine: tuple[Path, list[Item]]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    root, items = machine
    assert ask("logs", str(root / "access.log"), "--parquet", str(root / "rows")).status in (0, 1)
    rows = [row for file in (root / "rows").glob("*.parquet") for row in parquet.read_table(file).to_pylist()]
    assert len(rows) > 30
    assert_none(items, json.dumps(rows, default=str))


def test_a_secret_found_in_one_place_is_masked_everywhere() -> None:
    secret = "Tr0ub4dor-and-3"
    basic = base64.b64encode(f"app:{secret}".encode()).decode()
    snapshot = Snapshot(
        taken_at=NOW,
        host=f"h{secret}",
        proxies=(
            Proxy(
                files=(
                    ConfigFile(
                        path="/etc/nginx/nginx.conf", text=f'proxy_set_header Authorization "Basic {basic}";\n# {secret}\n'
                    ),
                )
            ),
        ),
        processes=(Process(pid=1, argv=("app", "--db-password", "s0me-other-Value")),),
        services=(Service(manager="systemd", name="app", reason=(f"cannot open {secret}", "refused s0me-other-Value")),),
    )
    data = gzip.decompress(save(snapshot)).decode()
    assert secret not in data
    assert "s0me-other" not in data
    know(secrets_in(snapshot))
    assert secret not in terminal.safe(f"says {secret} and {quote(secret)}")
