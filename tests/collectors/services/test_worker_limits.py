"""The time limit of a request in the files of application servers."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from why502.collectors.worker_limits import with_limit
from why502.host.directory import DirectoryHost
from why502.model.process import Process
from why502.model.service import Service

SERVICE = Service(manager="systemd", name="shop.service", settings={"WorkingDirectory": "/srv/shop"})
FILES = {
    "/srv/shop/gunicorn.conf.py": "# timeout = 5\nbind = ':8000'\ntimeout = 4  # short\ngraceful_timeout = 9\n",
    "/srv/shop/shop.ini": "[uwsgi]\r\nharakiri = 3\r\n",
    "/srv/shop/shop.yaml": "uwsgi:\n  harakiri: 3\n  harakiri-verbose: 1\n",
    "/srv/shop/unicorn.rb": "worker_processes 2\n  timeout(30) # all\n",
    "/srv/shop/config/puma.rb": "workers 2\nworker_timeout 60\n",
    "/etc/computed.py": "timeout = int(os.environ['TIMEOUT'])\n",
    "/etc/twice.rb": "timeout 30\ntimeout 60\n",
    "/etc/rails.rb": 'worker_timeout 3600 if ENV.fetch("RAILS_ENV", "development") == "development"\n',
    "/etc/none.ini": "[uwsgi]\nharakiri-verbose = true\n",
}


def limit(tmp_path: Path, command: str, *processes: Process) -> tuple[str, ...] | None:
    """Return the limit in force as "file:line value", or its place alone if it is not known; None if there is none."""
    for name, text in FILES.items():
        file = tmp_path / name.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())
    service = msgspec.structs.replace(SERVICE, argv=tuple(command.split()))
    found = with_limit(DirectoryHost(str(tmp_path)), service, processes).worker_limit
    if found is None or found.at is None:
        return None
    if found.args:
        assert FILES[found.at.file].encode()[found.at.start : found.at.end].decode() == found.args[0]
    return (str(found.at), *found.args)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("/usr/bin/gunicorn -w 2 shop:app", ("/srv/shop/gunicorn.conf.py:3", "4")),
        ("/opt/venv/bin/python3 -m gunicorn --config=gunicorn.conf.py shop", ("/srv/shop/gunicorn.conf.py:3", "4")),
        ("/usr/bin/gunicorn -c /etc/computed.py shop", ("/etc/computed.py:1",)),
        ("/usr/bin/uwsgi --ini shop.ini", ("/srv/shop/shop.ini:2", "3")),
        ("/usr/bin/uwsgi_python3 /srv/shop/shop.yaml", ("/srv/shop/shop.yaml:2", "3")),
        ("/usr/bin/uwsgi --ini=/etc/none.ini", None),
        ("/usr/bin/ruby /usr/bin/unicorn -c unicorn.rb config.ru", ("/srv/shop/unicorn.rb:2", "30")),
        ("/usr/bin/unicorn -c /etc/twice.rb", ("/etc/twice.rb:1",)),
        ("/usr/bin/bundle exec puma", ("/srv/shop/config/puma.rb:2", "60")),
        ("/usr/bin/puma -C /etc/rails.rb", ("/etc/rails.rb:1",)),
        ("/usr/bin/node shop.ini", None),
    ],
)
def test_the_file_of_its_command(tmp_path: Path, command: str, expected: tuple[str, ...] | None) -> None:
    assert limit(tmp_path, command) == expected


def test_the_process_that_listens_names_the_file_of_an_emperors_vassal(tmp_path: Path) -> None:
    process = Process(pid=7, argv=("/usr/bin/uwsgi", "--ini", "/srv/shop/shop.ini"), cwd="/")
    assert limit(tmp_path, "/usr/bin/uwsgi --emperor /etc/uwsgi/vassals", process) == ("/srv/shop/shop.ini:2", "3")


def test_a_process_with_another_root_names_no_file_of_ours(tmp_path: Path) -> None:
    process = Process(pid=7, argv=("/usr/bin/uwsgi", "--ini", "/srv/shop/shop.ini"), root="/proc/7/root")
    assert limit(tmp_path, "/usr/bin/uwsgi --emperor /etc/uwsgi/vassals", process) is None
