"""Every pair of options, for every version: our own linter finds nothing; and nginx itself accepts the file."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache, partial
from pathlib import Path

import pytest
from pairs import rows
from sites import COLUMNS, fits, line_of, make

from why502.config.tree import text
from why502.deployment.files import Deployment
from why502.gateways.nginx.config import load, parse
from why502.gateways.nginx.config.defaults import NEWEST
from why502.linter import suppression
from why502.linter.engine import lint
from why502.model.errors import Missing

VERSIONS = ("1.18.0", "1.22.1", "1.24.0", "1.26.3", "1.27.3", "1.28.0", "1.29.7", NEWEST)


@cache
def table(versions: tuple[str, ...]) -> list[dict[str, str]]:
    columns = {"version": tuple(f"--nginx-version {one}" for one in versions), **COLUMNS}
    return rows(columns, partial(fits, "nginx"))


def findings(whole: str, version: str) -> list[str]:
    """Return what the linter says about a whole nginx.conf."""

    def read(path: str) -> bytes:
        if path != "/etc/nginx/nginx.conf":
            raise Missing("not part of this test")
        return whole.encode()

    def listing(_: str) -> list[str]:
        raise Missing("not part of this test")

    found, gaps = lint(Deployment(configuration=load(read, listing, "/etc/nginx/nginx.conf", version=version), version=version))
    assert not gaps
    left, _ = suppression.split(dict.fromkeys(found), suppression.read({"/etc/nginx/nginx.conf": whole}))
    return [f"{risk.at}: {risk.rule} {risk.message}" for risk in left]


def test_the_table_is_worth_its_name() -> None:
    every = table(VERSIONS)
    assert 20 < len(every) < 200
    assert {value for row in every for value in row.values()} >= {value for values in COLUMNS.values() for value in values}


@pytest.mark.thorough
def test_the_linter_finds_nothing_in_any_pair_of_options() -> None:
    problems = {}
    for row in table(VERSIONS):
        line = line_of(row)
        version = row["version"].split()[1]
        (document,) = make("nginx", f"{line} --whole").made.documents
        tree = parse(document.body.encode(), "/etc/nginx/nginx.conf")
        assert not tree.problems, line
        assert text(tree) == document.body.encode(), line
        if found := findings(document.body, version):
            problems[line] = found
    assert not problems


IN_PLACE = """\
set -e
mount -t tmpfs none /run; mount -t tmpfs none /var/log; mount -t tmpfs none /var/lib/nginx; mkdir /var/log/nginx
for file in "$1"/*.conf; do
    mount --bind "$file" /etc/nginx/nginx.conf
    if ! "$2" -t -q 2>"$file.said"; then echo "== $file"; cat "$file.said"; fi
    umount /etc/nginx/nginx.conf
done
"""


@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace")
def test_the_real_nginx_accepts_every_pair_of_options(tmp_path: Path) -> None:
    assert accepted_by("nginx", installed(), tmp_path) > 20


def accepted_by(program: str, version: str, tmp_path: Path) -> int:
    """Test every pair of options for a version with this nginx, in a mount namespace; return the number of configurations."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "9",
         "-subj", "/CN=shop.example", "-keyout", f"{tmp_path}/shop.key", "-out", f"{tmp_path}/shop.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    every = table((version,))
    for number, row in enumerate(every):
        line = line_of(row, tmp_path / "shop")
        (document,) = make("nginx", f"{line} --whole").made.documents
        tmp_path.joinpath(f"{number:03d}.conf").write_text(f"# {line}\n{document.body}")
    done = subprocess.run(
        ["unshare", "--mount", "--net", "--propagation", "private", "sh", "-c", IN_PLACE, "sh", str(tmp_path), program],
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("", "")
    assert len(list(tmp_path.glob("*.said"))) == len(every)
    return len(every)


def installed() -> str:
    """Return the version of the real nginx."""
    assert shutil.which("nginx"), "scripts/setup --tests installs it"
    said = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True).stderr
    return said.strip().rpartition("/")[2].split()[0]
