"""What runs beside a site, each checked by its own product: units, pools, rotation, formats, pages, supervisord, PM2, compose."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml
from asking import ask
from sites import AT, given, make

from why502.backends.php_fpm import config as php_fpm
from why502.deployment.files import Deployment
from why502.generate.kind import kinds
from why502.generate.work import generate
from why502.host.directory import DirectoryHost
from why502.linter.engine import lint
from why502.model.errors import Why502Error
from why502.supervisors.systemd import unit_files

UNITS = (
    "--exec '/usr/bin/python3 -m http.server 3000' --user www-data --name shop",
    (
        "--exec '/usr/bin/env node \"/srv/a b/x.js\" --rate=50% $HOME' --user www-data --app unix:/run/shop/app.sock "
        "--memory 512m --type notify"
    ),
    "--exec '/usr/bin/env sh' --user games --app unix:/run/shop/app.sock --proxy-user www-data",
    (
        "--exec '/usr/bin/env sh' --app unix:/tmp/app.sock --directory /srv --env 'A=b c' --env-file /etc/shop.env "
        "--read-timeout 120s"
    ),
)
POOLS = (
    "--name shop --memory 2g --child 60m",
    "--name www --memory 200m --child 100m --read-timeout 120s --max-body 50m",
    "--name big --memory 64g --php 8.2",
)


def body(kind: str, line: str) -> str:
    return make(kind, line).files[0].text


@pytest.mark.parametrize("line", UNITS)
def test_the_linter_finds_nothing_in_a_unit(line: str) -> None:
    unit = unit_files.parse(body("systemd", line).encode(), "/etc/systemd/system/shop.service")
    risks, gaps = lint(Deployment(units=(unit,)))
    assert not gaps
    assert [risk for risk in risks if risk.rule != "W502-036"] == []  # a socket in /tmp is the user's choice here


@pytest.mark.parametrize("line", POOLS)
def test_the_linter_finds_nothing_in_a_pool(line: str) -> None:
    entries = php_fpm.parse(body("fpm-pool", line).encode(), "/etc/php/8.2/fpm/pool.d/shop.conf")
    risks, gaps = lint(Deployment(pools=php_fpm.pools(entries), pool_entries=entries))
    assert (risks, gaps) == ((), ())


def test_a_word_of_a_command_reaches_the_program_as_it_is() -> None:
    text = body("systemd", UNITS[1])
    assert 'ExecStart=/usr/bin/env node "/srv/a b/x.js" "--rate=50%%" "$$HOME"' in text


def test_a_pool_is_never_larger_than_its_memory() -> None:
    assert "pm.max_children = 34\n" in body("fpm-pool", f"{POOLS[0]} --processors 16")
    assert "pm.max_children = 25\n" in body("fpm-pool", f"{POOLS[0]} --processors 2")
    with pytest.raises(Why502Error, match="no room for two children"):
        make("fpm-pool", "--memory 100m --child 80m")


@pytest.mark.parametrize(
    ("kind", "line", "option"),
    [
        ("systemd", "--exec 'node x.js'", "--exec"),
        ("systemd", "--exec '/bin/a' --user 'x y'", "--user"),
        ("systemd", "--exec '/bin/a' --env 'A B'", "--env"),
        ("supervisor", "--exec '/bin/sh -c \"a;b\"'", "--exec"),
        ("compose", "--image 'a b' --app-port 1", "--image"),
        ("compose", "--image a --app-port 70000", "--app-port"),
        ("logrotate", "--domain 'a}b'", "--domain"),
        ("logrotate", "--pid '/run/$(id)'", "--pid"),
        ("error-page", "--title 'a\nb'", "--title"),
        ("log-format", "--name 'a;b'", "--name"),
    ],
)
def test_a_bad_value_is_refused_with_the_name_of_its_option(kind: str, line: str, option: str) -> None:
    with pytest.raises(Why502Error) as refused:
        make(kind, line)
    assert refused.value.message.startswith(option)
    assert refused.value.hint


def test_compose_waits_for_a_healthy_application() -> None:
    found = yaml.safe_load(
        body("compose", "--name shop --image registry.example/shop:1.4 --app-port 3000 --health '/up' --memory 1g")
    )
    shop, proxy = found["services"]["shop"], found["services"]["proxy"]
    assert proxy["depends_on"] == {"shop": {"condition": "service_healthy"}}
    assert shop["healthcheck"]["test"][-1] == "http://127.0.0.1:3000/up"
    assert (shop["stop_grace_period"], shop["init"], shop["networks"]) == ("35s", True, proxy["networks"])


def test_the_socket_of_a_unit_can_be_opened_by_the_proxys_workers() -> None:
    text = body("systemd", "--exec '/usr/bin/env sh' --user games --app unix:/run/shop/app.sock --proxy-user www-data")
    for line in ("RuntimeDirectory=shop", "Group=www-data", "SupplementaryGroups=games", "UMask=0007"):
        assert f"\n{line}\n" in text
    assert "Group=" not in body(
        "systemd", "--exec '/usr/bin/env sh' --user www-data --app unix:/run/shop/app.sock --proxy-user www-data"
    )
    assert "UMask=" not in body("systemd", "--exec '/usr/bin/env sh' --user games --app 127.0.0.1:3000")


FORMATS = """\
log_format main '$remote_addr "$request" $status it\\'s $upstream_addr';
log_format object escape=json '{"status":"$status",'
    '"upstream":"$upstream_addr"}';
"""


def test_the_fields_are_added_to_a_format_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "etc/nginx/conf.d").mkdir(parents=True)
    (tmp_path / "etc/nginx/nginx.conf").write_text("http { include conf.d/*.conf; }\n")
    (tmp_path / "etc/nginx/conf.d/log.conf").write_text(FORMATS)
    host = DirectoryHost(str(tmp_path))

    def made(name: str) -> str:
        return (
            generate(kinds()["log-format"], given("log-format", ["--extend", name, "--nginx-version", "1.22.1"]), host, AT)
            .files[0]
            .text
        )

    assert """'$remote_addr "$request" $status it\\'s $upstream_addr host=$host rid=$request_id""" in made("main")
    assert "ua=" not in made("main")
    assert '{"status":"$status","upstream":"$upstream_addr","request_id":"$request_id","request_time":' in made("object")
    assert "log_format why502 escape=json\n" in made("object")
    assert '"$http_user_agent" host=$host rid=$request_id rt=$request_time ua="$upstream_addr"' in made("combined")
    with pytest.raises(Why502Error) as refused:
        made("other")
    assert refused.value.hint == "It has combined, main, object."


@pytest.mark.parametrize("kind", ["systemd", "pm2", "supervisor"])
def test_a_program_needs_no_address(kind: str) -> None:
    assert ask("generate", kind, "--exec", "/usr/bin/node /srv/shop/server.js").status == 0


def test_rotation_follows_the_main_file_of_nginx(tmp_path: Path) -> None:
    """The pid file and the user are those of the configuration, not those of the build."""
    (tmp_path / "etc/nginx").mkdir(parents=True)
    (tmp_path / "etc/nginx/nginx.conf").write_text("user shop;\npid /run/other.pid;\nhttp { include sites-enabled/*; }\n")
    host = DirectoryHost(str(tmp_path))
    text = generate(kinds()["logrotate"], given("logrotate", []), host, AT).files[0].text
    assert 'kill -USR1 "$(cat /run/other.pid)"' in text
    assert "create 0640 shop adm" in text


COMPOSES = (
    "--image shop:1 --app-port 3000",
    "--image registry.example:5000/shop@sha256:0a1b --app-port 80 --health /up --probe node --memory 1g",
    "--name shop-2 --image shop:1 --app-port 3000 --probe curl --boot 5m --read-timeout 120s --proxy nginx:1.28",
)


@pytest.mark.real
@pytest.mark.parametrize("line", COMPOSES)
def test_compose_accepts_the_file_and_knows_every_key(line: str, tmp_path: Path) -> None:
    """Its own reader checks the file against the schema of the compose specification, which allows no unknown key."""
    text = body("compose", line)
    for content, is_accepted in ((text, True), (text.replace("start_period:", "start_time:"), False)):
        (tmp_path / "compose.yaml").write_text(content)
        done = subprocess.run(
            ["docker-compose", "-f", tmp_path / "compose.yaml", "config", "-q"], capture_output=True, text=True, check=False
        )
        assert (done.returncode == 0) is is_accepted, done.stderr


def test_an_error_page_shows_text_as_text() -> None:
    made = make("error-page", "--title '<script>' --text 'ä & b'")
    pages = {file.document.name: file.text for file in made.files}
    assert "&lt;script&gt;" in pages["503.html"]
    assert "<script>" not in pages["503.html"].split("-->")[-1]
    assert json.loads(pages["504.json"]) == {"error": "timeout", "status": 504}


# --- by the products themselves


@pytest.mark.real
@pytest.mark.parametrize("line", UNITS)
def test_systemd_has_no_complaint(line: str, tmp_path: Path) -> None:
    file = tmp_path / "why502-generated.service"
    file.write_text(body("systemd", line))
    done = subprocess.run(["systemd-analyze", "verify", str(file)], capture_output=True, text=True, check=False)
    assert [text for text in done.stderr.splitlines() if file.name in text] == []


@pytest.mark.real
@pytest.mark.parametrize("line", POOLS)
def test_php_fpm_accepts_the_pool(line: str, tmp_path: Path) -> None:
    program = next(Path("/usr/sbin").glob("php-fpm8*"))
    pool = body("fpm-pool", line).replace("/run/php/", f"{tmp_path}/").replace("/var/log/", f"{tmp_path}/")
    main = tmp_path / "php-fpm.conf"
    main.write_text(f"[global]\npid = {tmp_path}/pid\nerror_log = {tmp_path}/log\n{pool}")
    done = subprocess.run([program, "-t", "-y", main], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "test is successful" in done.stderr + (tmp_path / "log").read_text()


@pytest.mark.real
@pytest.mark.parametrize("line", ["", "--domain shop.example --keep 7", "--log-dir /srv/logs --pid /run/angie.pid"])
def test_logrotate_accepts_the_file(line: str, tmp_path: Path) -> None:
    file = tmp_path / "site"
    file.write_text(body("logrotate", line))
    file.chmod(0o644)
    done = subprocess.run(
        ["logrotate", "-d", "-s", str(tmp_path / "state"), str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "error:" not in done.stderr


@pytest.mark.real
@pytest.mark.parametrize("line", ["", "--style combined --name full", "--access-log /dev/null", "--extend combined"])
def test_nginx_accepts_the_log_format(line: str, tmp_path: Path) -> None:
    name = "full" if "full" in line else "why502"
    text = body("log-format", line)
    main = tmp_path / "nginx.conf"
    main.write_text(
        f"pid {tmp_path}/pid;\nerror_log {tmp_path}/log;\nevents {{}}\nhttp {{\n{text}\nserver {{ access_log "
        f"{tmp_path}/access {name}; }}\n}}\n"
    )
    done = subprocess.run(["nginx", "-t", "-q", "-c", str(main)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.real
def test_node_reads_the_ecosystem_file(tmp_path: Path) -> None:
    line = "--exec '/usr/bin/node /srv/shop/server.js --x 1' --name shop --instances 4 --ready --memory 1g --env A=b"
    file = tmp_path / "ecosystem.config.cjs"
    file.write_text(body("pm2", line))
    done = subprocess.run(
        ["node", "-e", f"console.log(JSON.stringify(require('{file}')))"], capture_output=True, text=True, check=True
    )
    (app,) = json.loads(done.stdout)["apps"]
    assert (app["script"], app["args"], app["instances"], app["kill_timeout"]) == ("/srv/shop/server.js", ["--x", "1"], 4, 35_000)
    assert (app["exec_mode"], app["wait_ready"], app["max_memory_restart"], app["env"]) == ("cluster", True, "1024M", {"A": "b"})


@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0, reason="supervisord refuses `user=` without root")
def test_supervisord_reads_the_program(tmp_path: Path) -> None:
    line = "--exec '/usr/bin/sleep 50%' --user www-data --name shop --env 'A=50% b' --directory /srv"
    (tmp_path / "shop.conf").write_text(body("supervisor", line))
    main = tmp_path / "supervisord.conf"
    main.write_text(f"[supervisord]\nlogfile={tmp_path}/log\n[include]\nfiles={tmp_path}/shop.conf\n")
    script = (
        "from supervisor.options import ServerOptions\n"
        f"made = ServerOptions(); made.realize(['-c', '{main}'])\n"
        "(one,) = made.process_group_configs[0].process_configs\n"
        "print(one.command, one.stopwaitsecs, one.environment['A'], one.directory)\n"
    )
    done = subprocess.run(["/usr/bin/python3", "-W", "ignore", "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "/usr/bin/sleep 50% 35 50% b /srv\n", done.stderr
