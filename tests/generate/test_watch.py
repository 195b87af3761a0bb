"""`why502 generate watch`: settings that the daemon reads as they were asked for."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from sites import make

from why502.generate.document import body_of
from why502.model.errors import Why502Error
from why502.watch.settings import Settings, read
from why502.watch.toml_file import parse

EVERYTHING = (
    "--alertmanager http://127.0.0.1:9093 --alertmanager http://127.0.0.2:9093 --webhook https://pager.example/x "
    "--webhook /etc/why502/pager-url --slack /etc/why502/token,C0123 --email a@example.org --email b@example.org "
    "--mail-host mail.example.org --mail-from w@example.org --objective 99.9 --objective shop.example/=99.5 "
    "--label site=fra1 --config /etc/nginx/nginx.conf --log /var/log/a.log --metrics unix:/run/why502/m.sock "
    "--textfile /var/lib/node/why502.prom --heartbeat /etc/why502/beat --url https://why502.example"
)


def settings(line: str) -> Settings:
    """Return what the daemon reads from the file."""
    return parse(make("watch", line).files[0].text, Settings, "watch.toml")


def test_the_daemon_reads_what_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "watch.toml"
    path.write_text(make("watch", EVERYTHING).files[0].text)
    found = read(str(path))
    assert [one.name for one in found.receivers] == ["alertmanager", "webhook-1", "webhook-2", "slack", "mail"]
    assert [(one.name, one.share, one.location) for one in found.objectives] == [
        ("all", 0.999, ""),
        ("shop.example", 0.995, "shop.example/"),
    ]
    assert (found.labels, found.gateways.configs, found.gateways.logs) == (
        {"site": "fra1"},
        ("/etc/nginx/nginx.conf",),
        ("/var/log/a.log",),
    )
    assert found.metrics.listen == "unix:/run/why502/m.sock"
    assert found.heartbeat is not None
    assert found.serve.url == "https://why502.example"


def test_without_options_everything_is_the_default_and_the_user_is_told_that_nobody_is() -> None:
    made = make("watch", "")
    assert settings("") == Settings()
    assert any("no messages will be sent" in note for note in made.made.notes)


def test_only_what_differs_is_written() -> None:
    assert tomllib.loads(make("watch", "--metrics off").files[0].text) == {"metrics": {"listen": ""}}


def test_a_value_stays_one_value() -> None:
    assert settings("""--label 'site=a"b\\c]#'""").labels == {"site": 'a"b\\c]#'}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--objective ninety", "--objective"),
        ("--objective 100", "--objective"),
        ("--objective 50", "50 %"),
        ("--slack /etc/token", "--slack"),
        ("--email a@example.org", "--mail-host is missing"),
        ("--email a@example.org --mail-host m --mail-from nobody", "--mail-from must be an address"),
        ("--alertmanager ftp://x", "--alertmanager must be"),
        ("--metrics 0.0.0.0", "metrics.listen"),
        ("--label 'site=a\nb'", "--label"),
        ("--label site", "--label"),
        ("--textfile x.prom", "--textfile"),
        ("--url why502.example", "--url must be"),
    ],
)
def test_a_bad_value_is_refused(line: str, words: str) -> None:
    with pytest.raises(Why502Error, match=words):
        make("watch", line)


def test_the_head_says_how_to_make_it_again() -> None:
    text = make("watch", "--label site=fra1").files[0].text
    assert "why502 generate watch --label site=fra1" in text
    assert body_of(text) == '# of every alert and metric\n[labels]\nsite = "fra1"\n'
