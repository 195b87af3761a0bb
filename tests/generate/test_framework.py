"""What an application is made with: from its directory, its command, and the header of its answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from why502.generate.measure.framework import framework
from why502.host.local import LocalHost
from why502.model.process import Process

FILES = (
    ("package.json", '{"dependencies": {"express": "4", "@nestjs/core": "10"}}', "NestJS"),
    ("package.json", '{"dependencies": {"express": "4"}, "devDependencies": {"next": "14"}}', "Express"),
    ("manage.py", "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop'); import django", "Django"),
    ("manage.py", "print('another tool')", ""),
    ("artisan", "require 'Illuminate/Foundation'", "Laravel"),
    ("symfony.lock", "{}", "Symfony"),
    ("Gemfile.lock", "GEM\n  specs:\n    rack (2.2)\n    rails (7.1.2)\n      actioncable (= 7.1.2)\n", "Rails"),
    ("requirements.txt", "# flask is not used\nuvicorn[standard]>=0.2\nfastapi==0.1\n", "FastAPI"),
    ("requirements.txt", "flask-login\n", ""),
    ("pyproject.toml", '[project]\ndependencies = [\n    "Flask>=2",\n]\n', "Flask"),
    ("package.json", '{"dependencies": ["express"]}', ""),
    ("package.json", "not json", ""),
)


@pytest.mark.parametrize(("file", "content", "name"), FILES)
def test_a_file_of_its_directory_names_the_framework(tmp_path: Path, file: str, content: str, name: str) -> None:
    (tmp_path / file).write_text(content)
    found = framework(LocalHost(), Process(pid=1, name="x", argv=("/usr/bin/x",), cwd=str(tmp_path)), b"")
    assert found.name == name
    assert (str(tmp_path / file) in found.source) is bool(name)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"HTTP/1.1 200 OK\r\nX-Powered-By: Express\r\n\r\n", "Express"),
        (b"HTTP/1.1 200 OK\r\nServer: Werkzeug/2.2.2 Python/3.11\r\n\r\n", "Flask (Werkzeug)"),
        (b"HTTP/1.1 200 OK\r\nServer: Kestrel\r\n\r\n", "ASP.NET Core"),
        (b"HTTP/1.1 200 OK\r\nServer: \x1b[31mnginx; return 200\r\n\r\n", ""),
        (b"", ""),
    ],
)
def test_its_answer_names_the_framework_otherwise(head: bytes, name: str) -> None:
    assert framework(LocalHost(), None, head).name == name


@pytest.mark.parametrize(
    ("argv", "server"),
    [
        (("/usr/bin/python3", "/usr/bin/gunicorn", "shop:app"), "gunicorn"),
        (("/srv/venv/bin/python", "-m", "uvicorn", "main:app"), "uvicorn"),
        (("gunicorn: master [shop:app]",), "gunicorn"),
        (("puma 5.6.5 (unix:///run/shop.sock) [shop]",), "puma"),
        (("/usr/bin/node", "server.js"), "node"),
        (("bundle", "exec", "puma", "-p", "3000"), "puma"),
        ((), "x"),
    ],
)
def test_its_command_names_the_server(argv: tuple[str, ...], server: str) -> None:
    assert framework(LocalHost(), Process(pid=1, name="x", argv=argv), b"").server == server
