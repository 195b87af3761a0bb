"""Settings: the annotated example is valid and says the defaults; errors name the file and the line."""

import re

import pytest

from why502.model.errors import Why502Error
from why502.watch import settings
from why502.watch.settings import Settings
from why502.watch.toml_file import parse


def test_the_example_says_the_defaults():
    assert parse(settings.example(), Settings, "example") == Settings()


def test_every_commented_part_of_the_example_is_valid():
    text = re.sub(r"(?m)^#: ", "", settings.example())
    found = parse(text, Settings, "example")
    assert {type(one).__module__.split(".")[-2] for one in found.receivers} == {"alertmanager", "webhook", "slack", "email"}
    assert (len(found.objectives), len(found.silences), len(found.checks.target)) == (1, 1, 1)
    assert found.heartbeat
    assert found.labels == {"site": "fra1"}


def test_the_example_names_every_setting():
    """A setting that nobody can find does not exist."""
    import msgspec

    words = set(re.findall(r"(?m)^(?:#: )?\[*([a-z_.]+)", settings.example()))
    for section in msgspec.structs.fields(Settings):
        assert section.encode_name in {word.split(".")[0] for word in words}
    for kind in ("gateways", "store", "metrics", "serve", "checks"):
        default = getattr(Settings(), kind)
        names = {field.encode_name for field in msgspec.structs.fields(type(default))}
        assert names - {"target"} <= words


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[checks]\ninterval_s = 0.1\n", "w.toml:1: checks: `interval_s` must be 1 to 60"),
        ("[chekcs]\n", "w.toml:1: unknown setting chekcs"),
        ('[[receivers]]\nkind = "pigeon"\nname = "p"\n', "w.toml:2: receivers.kind: invalid value 'pigeon'"),
        ('[[receivers]]\nkind = "webhook"\nname = "p"\nurl = "file:///x"\n', "w.toml:1: receivers: url"),
        ('[[receivers]]\nname = "p"\n', "w.toml:1: receivers: the setting kind is missing"),
        ('[labels]\n"a b" = "c"\n', "w.toml:1: labels"),
        ("[gateways]\nevery_s = 0\n", "w.toml:2: gateways.every_s: expected `float` >= 0.1"),
        ('[serve]\nurl = "why502.example"\n', "w.toml:1: serve: url must be a URL"),
        ("[[silences]]\nmatch = {}\n", "w.toml:1: silences: the setting until is missing"),
    ],
)
def test_errors_name_the_line(text, message):
    with pytest.raises(Why502Error) as raised:
        parse(text, Settings, "w.toml")
    assert raised.value.message.startswith(message)
    assert raised.value.hint


def test_two_receivers_with_one_name_are_refused():
    one = '[[receivers]]\nkind = "webhook"\nname = "p"\nurl = "http://127.0.0.1:1/"\n'
    with pytest.raises(Why502Error, match="two receivers have the name p"):
        parse(one + one, Settings, "w.toml")


def test_an_objective_that_cannot_be_alerted_on_is_refused(tmp_path):
    path = tmp_path / "w.toml"
    path.write_text('[[objectives]]\nname = "shop"\nshare = 0.9\n')
    with pytest.raises(Why502Error, match="objective 'shop' is 90 %"):
        settings.read(str(path))


def test_without_a_file_everything_has_its_default(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "PATH", tmp_path / "none.toml")
    assert settings.read(None) == Settings()
    with pytest.raises(Why502Error, match="no such file"):
        settings.read(str(tmp_path / "none.toml"))


def test_messages_link_to_the_page_of_their_incident_unless_a_receiver_has_a_link_of_its_own(tmp_path):
    path = tmp_path / "watch.toml"
    receivers = ("", 'link = "https://wiki.example/{incident}"')
    text = "".join(
        f'[[receivers]]\nkind = "webhook"\nname = "r{n}"\nurl = "http://127.0.0.1:1/"\n{link}\n'
        for n, link in enumerate(receivers)
    )
    path.write_text(f'[serve]\nurl = "https://Why502.example:8502/"\n{text}')
    first, second = settings.read(str(path)).receivers
    assert first.link == "https://why502.example:8502/incidents/{incident}"
    assert second.link == "https://wiki.example/{incident}"
    path.write_text(text)
    assert settings.read(str(path)).receivers[0].link == ""
