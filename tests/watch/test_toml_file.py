"""Settings in TOML: errors name the file and the line on which the setting begins."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from why502.model.errors import Why502Error
from why502.watch.toml_file import LIMIT_BYTES, load, parse


class Inner(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    url: str
    tries: int = 3
    tags: tuple[str, ...] = ()


class Outer(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    name: str = ""
    labels: dict[str, str] = {}
    hooks: tuple[Inner, ...] = ()
    one: Inner | None = None


def error(text):
    with pytest.raises(Why502Error) as raised:
        parse(text, Outer, "watch.toml")
    return raised.value


def test_reads_what_is_valid():
    assert parse('name = "a"\n[[hooks]]\nurl = "u"\n', Outer, "x") == Outer(name="a", hooks=(Inner(url="u"),))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = \n", "watch.toml:1: invalid value"),
        ('\n\nname = "a\n', "watch.toml:3: illegal character"),
        ('name = "a"\nname = "b"\n', "watch.toml:2: cannot overwrite a value"),
        ("# c\nname = 3\n", "watch.toml:2: name: expected `str`, got `int`"),
        ('[one]\nurl = "u"\n\ntries = "x"\n', "watch.toml:4: one.tries: expected `int`, got `str`"),
        ('[[hooks]]\nurl = "a"\n[[hooks]]\n# none\ntries = 1\n', "watch.toml:3: hooks: the setting url is missing"),
        ('[[hooks]]\nurl = "a"\n[[hooks]]\nurl = "b"\nvalue = 1\n', "watch.toml:5: unknown setting hooks.value"),
        ('nmae = "a"\n', "watch.toml:1: unknown setting nmae"),
        # A statement over several lines: the first of them.
        ('one = { url = "u", tags = [\n "a",\n 3,\n] }\nname = "a"\n', "watch.toml:1: one.tags: expected `str`, got `int`"),
        ('name = """\n[one]\n"""\n[one]\ntries = 1\n', "watch.toml:4: one: the setting url is missing"),
        ("one.tries = 1\n", "watch.toml:1: one: the setting url is missing"),
        # msgspec names a table of free keys, not the key in it.
        ('# c\n[labels]\na = "b"\nc = 1\n', "watch.toml:2: labels: expected `str`, got `int`"),
    ],
)
def test_names_the_line(text, message):
    assert error(text).message.startswith(message)


def test_names_the_settings_that_there_are():
    assert error('[[hooks]]\nurl = "b"\nvalue = 1\n').hint == "Settings there: url, tries, tags."
    assert error("nmae = 1\n").hint == "Settings there: name, labels, hooks, one."


STATEMENTS = (
    '[[hooks]]\nurl = """\n\n[x]\n"""',
    '[[hooks]]\nurl = "u"\ntags = [\n"a",\n# [[hooks]]\n"b",\n]',
    "# [[hooks]]",
    "",
    "[[hooks]]\nurl = '#'",
)


@given(st.lists(st.sampled_from(STATEMENTS), max_size=12), st.lists(st.sampled_from(STATEMENTS), max_size=5))
def test_the_line_is_that_of_the_statement(before, after):
    text = "".join(f"{one}\n" for one in before)
    line = text.count("\n") + 2
    text += "[[hooks]]\nurl = 5\n" + "".join(f"{one}\n" for one in after)
    assert error(text).message == f"watch.toml:{line}: hooks.url: expected `str`, got `int`"


def test_files_that_cannot_be_read(tmp_path):
    for name, content, message in (
        ("a", b'name = "\xff"\n', "a:1: not UTF-8 text"),
        ("b", b"#" * (LIMIT_BYTES + 1), "b: larger than 256 KiB"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(Why502Error) as raised:
            load(tmp_path / name, Outer)
        assert raised.value.message == f"{tmp_path}/{message}"
        assert raised.value.hint
    with pytest.raises(Why502Error) as raised:
        load(tmp_path / "none", Outer)
    assert raised.value.message == f"{tmp_path}/none: no such file or directory"


def test_a_large_file_is_placed_quickly():
    text = "".join(f"[[hooks]]\nurl = 'http://h{number}'\n" for number in range(2000)) + "[[hooks]]\ntries = 1\n"
    assert error(text).message.startswith("watch.toml:4001: hooks: the setting url is missing")
