"""nginx's language: any bytes are printed unchanged, and mean the same as to nginx and crossplane."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import crossplane
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nginx_samples import ALL

from why502.config.tree import Kind, Node, nodes, tokens
from why502.gateways.nginx.config import parse, quote, text
from why502.gateways.nginx.config.parse import MAX_DEPTH

PIECES = st.sampled_from(
    [
        "server", "location", "{", "}", ";", " ", "\t", "\n", "\r\n", "#", "# c\n", '"', "'", "\\", '\\"', "$", "${", "${a}",
        "if (", ")",
        "content_by_lua_block", "--", "--[[", "]]", "[=[", "é", "\ufeff", "a", "http://x:1/;", "map $a $b {", "~ \\.php$",
    ]
)  # fmt: skip
NGINX_LIKE = st.lists(PIECES, max_size=60).map(lambda pieces: "".join(pieces).encode())


def shape(items: Any) -> Any:
    """Return directives in crossplane's form."""
    return [(node.name, list(node.args), None if node.body is None else shape(node.children)) for node in items]


def crossplane_shape(statements: Any) -> Any:
    return [
        (item["directive"], item["args"], crossplane_shape(item["block"]) if "block" in item else None) for item in statements
    ]


@given(st.one_of(st.binary(max_size=400), NGINX_LIKE))
def test_any_bytes_come_back(content: bytes) -> None:
    tree = parse(content, "f")
    assert text(tree) == content
    offset, line, column = 0, 1, 1
    for token in tokens(tree):
        assert (token.start, token.line, token.column) == (offset, line, column)
        assert token.raw.encode("latin-1") == content[offset : token.end]
        for char in token.raw:
            line, column = (line + 1, 1) if char == "\n" else (line, column + 1)
        offset = token.end
    assert offset == len(content)


@given(st.text(max_size=40))
def test_a_quoted_word_reads_as_itself(word: str) -> None:
    word = word.encode("utf-8", "replace").decode()
    (node,) = nodes(parse(f"x {quote(word)};".encode(), "f"))
    assert node.args == (word,)


@pytest.mark.parametrize("name", ALL)
def test_structure_is_what_crossplane_reads(name: str, tmp_path: Path) -> None:
    file = tmp_path / "nginx.conf"
    file.write_text(ALL[name])
    read = crossplane.parse(str(file), combine=False, strict=False, check_ctx=False, check_args=False)
    tree = parse(file.read_bytes(), str(file))
    assert read["status"] == "ok"
    assert not tree.problems
    # crossplane removes the outer parentheses of a condition
    expected = crossplane_shape(read["config"][0]["parsed"])
    assert without_parentheses(shape(tree.children)) == expected


def without_parentheses(items: Any) -> Any:
    out = []
    for name, words, block in items:
        inside = words
        if name == "if":
            inside = [words[0].removeprefix("("), *words[1:]]
            inside = [word for word in [*inside[:-1], inside[-1].removesuffix(")")] if word]
        out.append((name, inside, None if block is None else without_parentheses(block)))
    return out


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ('"a b"', "a b"),
        ("'a\"b'", 'a"b'),
        (r'"a\"b\\c\n\t\r\d"', 'a"b\\c\n\t\r\\d'),
        (r"a\;b\ c\{", r"a\;b\ c\{"),
        ("${a}b", "${a}b"),
        ("a$b", "a$b"),
        ("a#b", "a#b"),
        ("a}b", "a}b"),
        ('a"b', 'a"b'),
        ('""', ""),
        ("$", "$"),
        ("${{{", "${{{"),
        ("é", "é"),
    ],
)
def test_words(raw: str, value: str) -> None:
    (node,) = nodes(parse(f"x {raw};".encode(), "f"))
    assert node.args == (value,)


def test_a_word_that_is_not_utf8_is_latin1() -> None:
    (node,) = nodes(parse(b"x \xe9\xff \xc3\xa9;", "f"))
    assert node.args == ("éÿ", "é")
    assert [word.start for word in node.words] == [0, 2, 5]


@pytest.mark.parametrize(
    ("content", "message", "line"),
    [
        ("a;\n}\n", 'unexpected "}"', 2),
        ("a {\n b;\n", 'unexpected end of file, expecting "}"', 3),
        ("a {\n b\n}\n", 'unexpected "}"', 3),
        ("a b\n", 'unexpected end of file, expecting ";" or "}"', 2),
        ('a "b\n', 'unexpected end of file, expecting ";" or "}"', 2),
        ("a b\\", 'unexpected end of file, expecting ";" or "}"', 1),
        (";\n", 'unexpected ";"', 1),
        ("a {};\n", 'unexpected ";"', 1),
        ("\n{\n}\n", 'unexpected "{"', 2),
        ('a "b"c;\n', 'unexpected "c"', 1),
        ('a "b"#c\n;', 'unexpected "#"', 1),
        ("a " + "b" * 4096 + ";", 'too long parameter "bbbbbbbbbb..." started', 1),
        ("\ufeffa b;", "the file begins with a byte order mark, which nginx treats as part of the first word", 1),
    ],
)
def test_problems_are_reported_with_their_position(content: str, message: str, line: int) -> None:
    tree = parse(content.encode(), "f")
    assert text(tree) == content.encode()
    assert (tree.problems[0].message, tree.problems[0].at and tree.problems[0].at.line) == (message, line)


def test_reading_continues_after_a_missing_semicolon() -> None:
    tree = parse(b"server {\n listen 80\n}\nserver { listen 81; }\n", "f")
    assert shape(tree.children) == [("server", [], [("listen", ["80"], None)]), ("server", [], [("listen", ["81"], None)])]


def test_lua_is_opaque() -> None:
    code = " local s = \"}\" -- }\n --[==[ } ]] ]==] local t = { a = '\\'}', b = [[ } ]] } "
    content = f"location / {{ content_by_lua_block {{{code}}} proxy_pass http://a; }}"
    tree = parse(content.encode(), "f")
    (location,) = tree.children
    lua, passes = location.children
    assert not tree.problems
    assert [token.raw for token in lua.body or () if not isinstance(token, Node)] == [code]
    assert passes.args == ("http://a",)


def test_lua_without_an_end() -> None:
    tree = parse(b"init_by_lua_block { a = { \n", "f")
    assert [problem.message for problem in tree.problems] == ['unexpected end of file, expecting "}"']


def test_blocks_nested_without_end_are_kept() -> None:
    content = b"a {" * 5000 + b"b;" + b"}" * 5000 + b"c;"
    tree = parse(content, "f")
    assert text(tree) == content
    assert tree.problems[0].message == "blocks are nested too deeply"
    assert len(tree.problems) == 1
    assert [node.name for node in tree.children] == ["a", "c"]
    assert sum(node.name == "a" for node in nodes(tree)) == MAX_DEPTH


def test_trivia_is_kept_in_its_kind() -> None:
    tree = parse(b" # one\r\na b # two\n;\n", "f")
    assert [(token.kind, token.raw) for token in tokens(tree)] == [
        (Kind.SPACE, " "), (Kind.COMMENT, "# one\r"), (Kind.SPACE, "\n"), (Kind.WORD, "a"), (Kind.SPACE, " "), (Kind.WORD, "b"),
        (Kind.SPACE, " "), (Kind.COMMENT, "# two"), (Kind.SPACE, "\n"), (Kind.MARK, ";"), (Kind.SPACE, "\n"),
    ]  # fmt: skip
    (node,) = tree.children
    assert (node.at.line, node.at.column, node.at.start, node.at.end) == (2, 1, 8, 19)
