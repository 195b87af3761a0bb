"""How a service's description is matched to a target without a listener."""

from __future__ import annotations

from pathlib import Path

import pytest

from why502.host.directory import DirectoryHost
from why502.model.target import Target
from why502.supervisors.base import Described, link

PORT = Target(host="127.0.0.1", port=3000)


@pytest.mark.parametrize(
    "what",
    [
        Described(argv=("gunicorn", "-b", "127.0.0.1:3000", "app")),
        Described(argv=("gunicorn", "--bind=0.0.0.0:3000", "app")),
        Described(argv=("next", "start", "-p", "3000")),
        Described(argv=("next", "start", "-p3000")),
        Described(argv=("node", "app.js", "--port=3000")),
        Described(argv=("uwsgi", "--http-socket", ":3000")),
        Described(environment={"PORT": "3000"}),
        Described(environment={"ASPNETCORE_URLS": "http://+:3000"}),
        Described(environment={"LISTEN_ADDR": "0.0.0.0:3000"}),
    ],
)
def test_a_description_names_the_port(tmp_path: Path, what: Described) -> None:
    assert "3000" in link(DirectoryHost(str(tmp_path)), PORT, what)


@pytest.mark.parametrize(
    "what",
    [
        Described(argv=("app", "--timeout", "3000")),
        Described(argv=("app", "--max-requests=3000")),
        Described(argv=("exporter", "--scrape-uri=http://127.0.0.1:3000/status")),
        Described(argv=("proxy", "--upstream", "127.0.0.1:3000")),
        Described(argv=("app", "--port", "30001")),
        Described(argv=("app", "/srv/v1.3000/x")),
        Described(environment={"DATABASE_URL": "postgres://db:3000/x", "REDIS_PORT": "3000", "WORKERS": "3000"}),
    ],
)
def test_a_number_that_is_not_its_own_address(tmp_path: Path, what: Described) -> None:
    assert link(DirectoryHost(str(tmp_path)), PORT, what) == ""


@pytest.mark.parametrize(
    ("name", "text", "argv"),
    [
        (".env", "DEBUG=1\nPORT=3000\n", ()),
        ("server.js", "const app = express();\napp.listen(3000, () => {});\n", ("node", "server.js")),
        ("settings.py", "HOST = '0.0.0.0'\nPORT = 3000\n", ("python", "settings.py")),
        ("gunicorn.conf.py", 'bind = "127.0.0.1:3000"\n', ("gunicorn", "app")),
        ("config/puma.rb", 'port ENV.fetch("PORT") { 3000 }\n', ("puma",)),
    ],
)
def test_a_file_of_its_directory_names_the_port(tmp_path: Path, name: str, text: str, argv: tuple[str, ...]) -> None:
    file = tmp_path / "srv" / name
    file.parent.mkdir(parents=True)
    file.write_text(text)
    assert link(DirectoryHost(str(tmp_path)), PORT, Described(argv=argv, cwd="/srv")) == f"/srv/{name} names port 3000"


@pytest.mark.parametrize("text", ["timeout = 3000\n", "// app.listen(3000)\n", "DB_PORT=3000\n", "limit 3000; port 80\n"])
def test_a_file_that_means_something_else(tmp_path: Path, text: str) -> None:
    (tmp_path / "srv").mkdir()
    (tmp_path / "srv" / "app.js").write_text(text)
    assert link(DirectoryHost(str(tmp_path)), PORT, Described(argv=("node", "app.js"), cwd="/srv")) == ""


def test_a_unix_socket() -> None:
    host, target = DirectoryHost("/nonexistent"), Target(path="/run/app/app.sock")
    assert link(host, target, Described(argv=("gunicorn", "--bind", "unix:/run/app/app.sock")))
    assert link(host, target, Described(argv=("puma", "-b", "unix:///run/app/app.sock")))
    assert not link(host, target, Described(argv=("proxy", "http://web.example/run/app/app.sock")))
    assert link(host, target, Described(argv=("gunicorn", "--bind", "unix:app.sock"), cwd="/run/app"))
    assert not link(host, target, Described(argv=("gunicorn", "--bind", "unix:app.sock"), cwd="/srv"))
    assert not link(host, target, Described(argv=("gunicorn", "--bind", "unix:/run/app/app.sock2")))
