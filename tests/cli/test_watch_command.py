"""The subcommands of `why502 watch` that start no daemon, and its options."""

from pathlib import Path

import pytest
from asking import ask
from notify_scenes import answer, serving

from why502.watch import settings
from why502.watch.settings import Settings
from why502.watch.toml_file import parse


def test_the_example_is_printed():
    done = ask("watch", "check-config", "--example")
    assert (done.status, done.err) == (0, "")
    assert parse(done.out, Settings, "example") == Settings()


def test_settings_are_checked(tmp_path):
    path = tmp_path / "w.toml"
    path.write_text('[[receivers]]\nkind = "webhook"\nname = "pager"\nurl = "http://127.0.0.1:1/"\n')
    done = ask("watch", "check-config", "--settings", str(path))
    assert (done.status, done.out, done.err) == (0, f"{path}: valid; 1 receiver, 0 objectives, 0 silences\n", "")
    path.write_text("[checks]\nfall = 0\n")
    done = ask("watch", "check-config", "--settings", str(path))
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"why502: {path}:1: checks: `rise` and `fall` must be 1 to 100\n")
    assert done.err.count("\n") == 2


def test_without_settings_everything_has_its_default(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "PATH", tmp_path / "none.toml")
    done = ask("watch", "check-config")
    assert (done.status, done.out) == (0, f"{tmp_path}/none.toml does not exist; every setting has its default\n")


@pytest.mark.parametrize(
    ("options", "names"),
    [((), ["why502-watch.service"]), (("--timer",), ["why502-watch-once.service", "why502-watch-once.timer"])],
)
def test_units_are_installed(tmp_path, monkeypatch, options, names):
    monkeypatch.setattr(settings, "PATH", tmp_path / "none.toml")
    done = ask("watch", "install", "--directory", str(tmp_path), *options)
    assert (done.status, done.err) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert f"systemctl enable --now {names[-1]}" in done.out


def test_units_are_not_installed_with_bad_settings(tmp_path):
    path = tmp_path / "w.toml"
    path.write_text("[chekcs]\n")
    done = ask("watch", "install", "--directory", str(tmp_path), "--settings", str(path))
    assert done.status == 2
    assert not list(Path(tmp_path).glob("*.service"))


def test_receivers_are_tried(tmp_path):
    path = tmp_path / "w.toml"
    with serving(answer()) as good, serving(answer(status=500)) as bad:
        text = '[[receivers]]\nkind = "webhook"\nname = "{}"\nurl = "{}/"\n'
        path.write_text(text.format("good", good.url) + text.format("bad", bad.url))
        done = ask("watch", "test-notify", "--settings", str(path))
        assert done.status == 1
        assert done.out.splitlines()[0] == "good: accepted the message"
        assert done.out.splitlines()[1].startswith("bad: ")
        assert good.received[0].json["is_test"] is True
        assert ask("watch", "test-notify", "--settings", str(path), "good").status == 0
    unknown = ask("watch", "test-notify", "--settings", str(path), "other")
    assert unknown.status == 2
    assert "good, bad" in unknown.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--gate", "5m"), "--gate and --target belong together"),
        (("--target", "127.0.0.1:1"), "--gate and --target belong together"),
        (("--gate", "5m", "--target", "127.0.0.1:1", "--once"), "--gate and --once cannot be combined"),
        (("--gate", "soon", "--target", "127.0.0.1:1"), "--gate 'soon' is not a duration"),
        (("--settings", "/nowhere/at.toml"), "/nowhere/at.toml: no such file or directory"),
    ],
)
def test_bad_options_are_two_lines(options, message):
    done = ask("watch", *options)
    assert (done.status, done.out) == (2, "")
    assert message in done.err
    assert done.err.count("\n") == 2
