"""Sites for HAProxy, Apache, Caddy and Traefik: every pair of options, accepted by the product itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from free_ports import free_port
from pairs import rows
from sites import COLUMNS, fits, line_of, make

from why502.generate.kind import kinds
from why502.lab.isolation import program

pytestmark = [pytest.mark.real]
ADDED = {"check": ("", "--health /up")}
BOTH = "--health /up"


def has(kind: str, value: str) -> bool:
    """Return whether a product has all options of a value."""
    known = {option.name for option in kinds()[kind].options}
    return all(word in known for word in value.split() if word.startswith("--"))


def lines(kind: str, certificate: Path) -> list[str]:
    """Return command lines that cover every pair of the options that a product has."""
    columns = {name: tuple(value for value in values if has(kind, value)) for name, values in {**COLUMNS, **ADDED}.items()}
    found = rows({name: values for name, values in columns.items() if values}, partial(fits, kind))
    return [line_of(row, certificate) for row in found]


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate: the files shop.pem and shop.key, and its key also where HAProxy looks for it."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "9",
         "-subj", "/CN=shop.example", "-keyout", f"{tmp_path}/shop.key", "-out", f"{tmp_path}/shop.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    shutil.copy(tmp_path / "shop.key", tmp_path / "shop.pem.key")
    return tmp_path / "shop"


def test_haproxy_accepts_every_pair(tmp_path: Path, certificate: Path) -> None:
    every = lines("haproxy", certificate)
    assert len(every) > 15
    for line in every:
        file = tmp_path / "haproxy.cfg"
        file.write_text(make("haproxy", line).files[0].text)
        done = subprocess.run(["haproxy", "-c", "-f", str(file)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}\n{done.stderr}{done.stdout}"
        # The name of the application exists nowhere: HAProxy looks it up again while it runs.
        warnings = [text for text in done.stderr.splitlines() if "[WARNING]" in text and "could not resolve" not in text]
        assert not warnings, line


def test_apache_accepts_every_pair(tmp_path: Path, certificate: Path) -> None:
    modules = Path("/usr/lib/apache2/modules")
    wanted = (
        "mpm_event", "authz_core", "authz_host", "proxy", "proxy_http", "slotmem_shm", "proxy_balancer", "lbmethod_byrequests",
        "lbmethod_bybusyness", "headers", "unique_id", "alias", "socache_shmcb", "ssl", "log_config",
    )  # fmt: skip
    loaded = "".join(
        f"LoadModule {name}_module {modules}/mod_{name}.so\n" for name in wanted if (modules / f"mod_{name}.so").exists()
    )
    every = lines("apache", certificate)
    assert len(every) > 15
    for line in every:
        text = make("apache", f"{line} --log-dir {tmp_path}").files[0].text
        file = tmp_path / "apache.conf"
        file.write_text(
            f"ServerName localhost\nDefaultRuntimeDir {tmp_path}\nPidFile {tmp_path}/pid\nErrorLog {tmp_path}/log\n"
            f"{loaded}\n{text}"
        )
        done = subprocess.run(
            ["apache2", "-t", "-d", str(tmp_path), "-f", str(file)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        assert done.stderr.strip() == "Syntax OK", line


def test_caddy_accepts_every_pair(tmp_path: Path, certificate: Path) -> None:
    every = lines("caddy", certificate)
    assert len(every) > 15
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    for line in every:
        file = tmp_path / "Caddyfile"
        file.write_text(make("caddy", f"{line} --log-dir {tmp_path}").files[0].text)
        done = subprocess.run(
            [program("caddy"), "validate", "--adapter", "caddyfile", "--config", str(file)],
            capture_output=True, text=True, check=False, env=environment,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}\n{done.stderr[-800:]}"


def test_traefik_accepts_every_pair(tmp_path: Path, certificate: Path) -> None:
    every = lines("traefik", certificate)
    assert len(every) > 15
    files = tmp_path / "dynamic"
    files.mkdir()
    for number, line in enumerate(every):
        (files / f"{number}.yaml").write_text(make("traefik", f"{line} --name site{number}").files[0].text)
    ports = [free_port() for _ in range(3)]
    argv = [
        program("traefik"), f"--providers.file.directory={files}", "--providers.file.watch=false", "--api.insecure=true",
        *(f"--entryPoints.{name}.address=127.0.0.1:{port}" for name,
        port in zip(("traefik", "web", "websecure"), ports, strict=True)),
        "--certificatesResolvers.letsencrypt.acme.tlsChallenge=true",
        f"--certificatesResolvers.letsencrypt.acme.storage={tmp_path}/acme",
        "--certificatesResolvers.letsencrypt.acme.caServer=http://127.0.0.1:1/", "--global.checkNewVersion=false",
    ]  # fmt: skip
    with (tmp_path / "log").open("w") as log, subprocess.Popen(argv, stdout=log, stderr=log) as traefik:
        try:
            routers = ask(ports[0], "routers", len(every))
            services = ask(ports[0], "services", len(every))
        finally:
            traefik.terminate()
    said = (tmp_path / "log").read_text()
    for found in (routers, services):
        broken = [(one["name"], one.get("error")) for one in found if one["status"] != "enabled"]
        assert not broken, said
    assert {one["name"] for one in routers} >= {f"site{number}@file" for number in range(len(every))}


def ask(port: int, what: str, least: int) -> list[dict[str, Any]]:
    """Return what Traefik's API says, once the file provider has loaded everything."""
    end = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/http/{what}?per_page=1000", timeout=5) as answer:
                found: list[dict[str, Any]] = [one for one in json.load(answer) if one["name"].endswith("@file")]
        except (urllib.error.URLError, ConnectionError):
            found = []
        if len(found) >= least:
            return found
        assert time.monotonic() < end, f"only {len(found)} of {least} {what}"
        time.sleep(0.05)
