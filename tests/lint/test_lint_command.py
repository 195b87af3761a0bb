"""`why502 lint`: its input, output and exit statuses, comments, baselines, repairs."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from asking import ask

BAD = "server { listen 80; location / { proxy_pass http://0.0.0.0:3000; } }\n"
GOOD = "server { listen 80; location / { proxy_pass http://192.0.2.1:3000; } }\n"
REFUSED = "server { listen 80; location / { proxy_pass http://192.0.2.1:3000; proxy_busy_buffer_size 8k; } }\n"
LOCALHOST = "server { listen 80; location / { proxy_pass http://localhost:3000; } }\n"


def rules(*argv: str, stdin: bytes = b"") -> list[str]:
    answer = ask("lint", "--format", "json", "--nginx-version", "1.22.1", *argv, stdin=stdin)
    assert answer.status in (0, 1), answer.err
    return [finding["rule"] for finding in json.loads(answer.out)["findings"]]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    path = tmp_path / "site.conf"
    path.write_text(BAD)
    return path


@pytest.mark.parametrize(
    ("text", "option", "status"),
    [
        (BAD, "warning", 1), (BAD, "error", 0), (BAD, "note", 1), (BAD, "never", 0), (GOOD, "note", 0), (REFUSED, "error", 1),
        (LOCALHOST, "warning", 0), (LOCALHOST, "note", 1),
    ],
)  # fmt: skip
def test_exit_status(site: Path, text: str, option: str, status: int) -> None:
    site.write_text(text)
    assert ask("lint", str(site), "--fail-on", option).status == status


@pytest.mark.parametrize("argv", [(), ("/nowhere/x.conf",), ("{}", "--select", "W502-999"), ("{}", "--nginx-version", "new")])
def test_bad_input_is_rejected(site: Path, argv: tuple[str, ...]) -> None:
    answer = ask("lint", *(word.format(site) for word in argv))
    assert answer.status == 2 and answer.out == "" and len(answer.err.splitlines()) == 2


def test_a_directory_without_configuration(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    assert ask("lint", str(tmp_path)).status == 2


def test_text(site: Path) -> None:
    answer = ask("lint", str(site), "--nginx-version", "1.22.1")
    first, advice, total = answer.out.splitlines()
    assert first == f"{site}:1:34: warning W502-028 0.0.0.0:3000 is not an address to connect to [wildcard-target]"
    assert advice.startswith("    -> write 127.0.0.1") and total == "1 warning in 1 file for nginx 1.22.1"
    assert ask("lint", str(site), "-q", "--nginx-version", "newest").out == "1 warning in 1 file for the newest nginx\n"
    assert "leads to wrong-address" in ask("lint", str(site), "-v").out


def test_json_is_the_contract(site: Path) -> None:
    answer = json.loads(ask("lint", str(site), "--format", "json", "--nginx-version", "1.22.1").out)
    assert (answer["schema"], answer["nginx_version"], answer["files"]) == ("why502.lint/1", "1.22.1", 1)
    assert answer["summary"] == {"errors": 0, "warnings": 1, "notes": 0}
    (finding,) = answer["findings"]
    assert (finding["rule"], finding["severity"], finding["cause"], finding["layer"]) == (
        "W502-028", "warning", "wrong-address", "proxy",
    )  # fmt: skip
    assert (finding["file"], finding["line"], finding["column"]) == (str(site), 1, 34)


def test_names_are_relative_to_the_current_directory(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(site.parent)
    assert ask("lint", ".").out.startswith("site.conf:1:34: ")


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (("--select", "W502-028"), 1), (("--select", "w502-028"), 1), (("--select", "wildcard-target,W502-001"), 1),
        (("--select", "wrong-address"), 1), (("--select", "error"), 0), (("--ignore", "warning"), 0),
        (("--ignore", "W502-028"), 0), (("--ignore", "note", "--ignore", "W502-001"), 1),
    ],
)  # fmt: skip
def test_select_and_ignore(site: Path, options: tuple[str, ...], count: int) -> None:
    assert len(rules(str(site), *options)) == count


def test_every_rule_is_shown() -> None:
    answer = ask("lint", "--rules")
    assert answer.status == 0 and len(answer.out.splitlines()) >= 60


def test_standard_input_and_dumps(site: Path) -> None:
    assert rules("-", stdin=BAD.encode()) == ["W502-028"]
    dump = "# configuration file /etc/nginx/nginx.conf:\nevents {}\nhttp { include sites/*; }\n\n"
    dump += f"# configuration file /etc/nginx/sites/a:\n{BAD}\n"
    answer = json.loads(ask("lint", "-", "--format", "json", stdin=dump.encode()).out)
    assert [finding["file"] for finding in answer["findings"]] == ["/etc/nginx/sites/a"]
    site.write_text(dump)
    assert rules(str(site)) == ["W502-028"]


def test_a_fragment_is_read_with_what_is_around_it(tmp_path: Path) -> None:
    (tmp_path / "sites").mkdir()
    (tmp_path / "sites/a").write_text("server { location / { proxy_pass http://$http_x; } }")
    main = tmp_path / "nginx.conf"
    main.write_text("events {}\nhttp {\ninclude sites/*;\n}\n")
    assert rules(str(tmp_path / "sites/a")) == ["W502-020"]
    main.write_text("events {}\nhttp {\nresolver 127.0.0.1 ipv6=off;\nerror_log off;\ninclude sites/*;\n}\n")
    assert rules(str(tmp_path / "sites/a")) == []  # faults in the main file were not requested
    main.unlink()
    assert rules(str(tmp_path / "sites/a")) == []  # the resolver may be anywhere


def test_a_repository_means_its_own_files(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/app.conf").write_text(BAD)
    (tmp_path / "nginx.conf").write_text(
        "events {}\nhttp {\ninclude /etc/nginx/mime.types;\ninclude /etc/nginx/conf.d/*.conf;\n}\n"
    )
    assert rules(str(tmp_path / "nginx.conf")) == ["W502-028"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.conf", "server { listen {{ port }}; }"), ("a.conf", "server { listen ${PORT}; }"), ("a.conf", "<% if x %>server {}"),
        ("haproxy.cfg", "global\n    daemon\ndefaults\n    mode http\nfrontend f\n    bind :{{ port }}\n"),
        ("Caddyfile", "shop.example {\n\treverse_proxy app:3000\n}\n"),
        ("traefik.yml", "entryPoints:\n  web:\n    address: ':80'\n"),
        ("envoy.yaml", "static_resources:\n  clusters: []\n"),
    ],
)  # fmt: skip
def test_templates_and_other_proxies_are_reported(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    answer = ask("lint", str(path))
    assert answer.status == 2 and answer.out.startswith("not checked: ") and answer.err.endswith(" was not checked\n")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (BAD.replace("\n", " # why502: ignore W502-028 -- in a sandbox\n"), 0),
        (f"# why502: ignore wildcard-target -- in a sandbox\n\n{BAD}", 0),
        (f"# why502: ignore-file W502-028, W502-001 -- in a sandbox\n\nevents {{}}\nhttp {{\n{BAD}}}\n", 0),
        (f"# why502: ignore W502-027 -- another one\n{BAD}", 1),
        (f"# why502: ignore W502-028 -- too far away\n{GOOD}{BAD}", 1),
        (f"# why502: ignore W502-028\n{BAD}", 1),
        (f"# why502: ignore W502-998 -- no such rule\n{BAD}", 1),
    ],
)
def test_comments(site: Path, text: str, left: int) -> None:
    site.write_text(text)
    answer = ask("lint", str(site), "--format", "json", "--select", "W502-028")
    assert len(json.loads(answer.out)["findings"]) == left
    assert json.loads(answer.out)["suppressed"] == 1 - left
    assert ("nothing is ignored" in answer.err or "no rule is called" in answer.err) == (" -- " not in text or "W502-998" in text)


def test_comments_in_pools_and_units(tmp_path: Path) -> None:
    unit = tmp_path / "app.service"
    unit.write_text("[Service]\n# why502: ignore W502-150 -- an old systemd\nStartLimitIntervalSec=9\n")
    assert rules(str(unit)) == []
    pool = tmp_path / "www.conf"
    pool.write_text("[www]\nlisten = /run/a.sock\npm = turbo ; why502: ignore pool-refused -- a patched build\n")
    assert rules(str(pool)) == []


def test_baseline(site: Path, tmp_path: Path) -> None:
    known = tmp_path / "known.json"
    assert ask("lint", str(site), "--write-baseline", str(known)).status == 0
    assert ask("lint", str(site), "--baseline", str(known)).status == 0
    site.write_text(f"# a line more\n\n{BAD}")
    answer = ask("lint", str(site), "--baseline", str(known), "--format", "json")
    assert answer.status == 0 and json.loads(answer.out)["in_baseline"] == 1
    site.write_text(BAD + BAD)
    assert len(rules(str(site), "--baseline", str(known))) == 1
    known.write_text("{}")
    assert ask("lint", str(site), "--baseline", str(known)).status == 2
    assert ask("lint", str(site), "--baseline", str(tmp_path / "none")).status == 2


def test_fix(tmp_path: Path) -> None:
    path = tmp_path / "nginx.conf"
    text = (
        "events {}\nhttp {\n  server {\n    listen 8080;\n    location / {\n      proxy_pass http://192.0.2.1; # here\n"
        "      proxy_busy_buffer_size 8k;\n    }\n    location /b {\n      proxy_buffer_size 16k;\n    }\n  }\n}\n"
    )
    path.write_text(text)
    path.chmod(0o640)
    link = tmp_path / "link.conf"
    link.symlink_to(path)
    answer = ask("lint", str(link), "--fix", "--nginx-version", "1.22.1")
    assert answer.status == 0 and answer.err == f"{link}: repaired in 2 places\n"
    fixed = text.replace("buffer_size 8k", "buffers_size 8k").replace("16k;\n", "16k;\n      proxy_busy_buffers_size 16k;\n")
    assert path.read_text() == fixed
    assert link.is_symlink() and path.stat().st_mode & 0o777 == 0o640
    assert sorted(tmp_path.iterdir()) == [link, path]
    again = ask("lint", str(link), "--fix")
    assert again.err == "" and path.read_text() == fixed


def test_fix_of_pools_and_units(tmp_path: Path) -> None:
    pool = tmp_path / "www.conf"
    pool.write_text("[www]\nlisten = /run/a.sock\npm = dynamic\npm.max_children = 20\npm.start_servers = 50 ; many\n")
    unit = tmp_path / "app.service"
    unit.write_text("[Unit]\nDescription=a\n\n[Service]\nStartLimitIntervalSec=60\nExecStart=/srv/a\n")
    assert ask("lint", str(tmp_path), "--fix").status == 0
    assert "pm.start_servers = 7 ; many\n" in pool.read_text()
    assert unit.read_text() == "[Unit]\nStartLimitIntervalSec=60\nDescription=a\n\n[Service]\nExecStart=/srv/a\n"


@pytest.mark.real
@pytest.mark.skipif(shutil.which("php-fpm8.2") is None, reason="PHP-FPM is not installed")
def test_php_fpm_takes_the_repaired_pool(tmp_path: Path) -> None:
    path = tmp_path / "fpm.conf"
    path.write_text(
        f"[global]\nerror_log = {tmp_path}/log\n[www]\nuser = www-data\nlisten = {tmp_path}/s\npm = dynamic\npm.max_ch"
        f"ildren = 20\n"
        "pm.start_servers = 10\npm.min_spare_servers = 1\npm.max_spare_servers = 3\n"
    )
    command = ["php-fpm8.2", "-t", "-y", str(path)]
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0
    assert ask("lint", str(path), "--fix").status == 0
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_fix_changes_nothing_that_is_right(site: Path) -> None:
    site.write_text(LOCALHOST)
    before = site.stat().st_mtime_ns
    assert ask("lint", str(site), "--fix").err == ""
    assert site.stat().st_mtime_ns == before
    assert ask("lint", "-", "--fix", stdin=BAD.encode()).status == 2


def test_fix_leaves_alone_files_that_only_a_dump_names(site: Path, tmp_path: Path) -> None:
    dump = tmp_path / "dump"
    dump.write_text(f"# configuration file {site}:\n{REFUSED}\n")
    site.write_text(REFUSED)
    assert ask("lint", str(dump), "--fix").status == 1
    assert site.read_text() == REFUSED and REFUSED in dump.read_text()


def test_hostile_text_reaches_no_terminal(site: Path) -> None:
    site.write_bytes(
        b"server { location / { proxy_pass http://localhost:1; } location /\x1b[2J\xff { proxy_bufferin\x1b x; } }\n"
    )
    for format_ in ("text", "github", "junit", "json", "sarif"):
        answer = ask("lint", str(site), "--format", format_)
        assert answer.status in (0, 1) and "\x1b" not in answer.out


def repository(directory: Path, **files: str) -> Path:
    """Write a repository that holds /etc/nginx in a directory, as the source of an image; return that directory."""
    home = directory / "rootfs/etc/nginx"
    (home / "conf.d").mkdir(parents=True)
    (home / "nginx.conf").write_text("events {}\nhttp { include /etc/nginx/conf.d/*.conf; }\n")
    for name, text in files.items():
        (home / f"conf.d/{name}.conf").write_text(text)
    return home


def test_findings_in_a_repositorys_etc_name_its_file_and_appear_once(tmp_path: Path) -> None:
    home = repository(tmp_path, site=BAD)
    answer = json.loads(ask("lint", str(tmp_path), "--format", "json").out)
    assert [finding["file"] for finding in answer["findings"]] == [str(home / "conf.d/site.conf")]
    assert answer["files"] == 2


def test_files_of_which_one_is_deployed_do_not_contradict_each_other(tmp_path: Path) -> None:
    server = "server { listen 81 default_server; location / { return 204; } }"
    repository(tmp_path, development=server, production=server)
    assert rules(str(tmp_path)) == []
    repository(tmp_path / "other", shop=server, blog=server)
    assert rules(str(tmp_path / "other")) == ["W502-015"]


def test_a_server_with_an_unknown_listen_address_is_not_a_loop(tmp_path: Path) -> None:
    server = "server {{ {} location / {{ proxy_pass http://127.0.0.1:80; }} }}"
    repository(tmp_path, site=server.format("include /etc/nginx/listen/missing.conf;"))
    assert "W502-066" not in rules(str(tmp_path))
    repository(tmp_path / "other", site=server.format(""))
    assert "W502-066" in rules(str(tmp_path / "other"))
