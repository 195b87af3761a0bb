"""Edits: the fewest bytes, the file's own layout, and a diff that patch(1) accepts."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from why502.config import edit
from why502.config.tree import Node, Tree, nodes
from why502.gateways.nginx.config import parse
from why502.model.config import Position
from why502.model.errors import Why502Error
from why502.model.remedy import Edit

SAMPLE = """\
http {
	upstream app {
		server 127.0.0.1:3001; # first
		server 127.0.0.1:3002;
	}
	server {
		location / { proxy_pass http://app; }
		location /x {
			proxy_pass http://127.0.0.1:3000/é; # why

			proxy_read_timeout 10s;
		}
		location /empty {
		}
		location /none { }
	}
}"""


def tree(content: str = SAMPLE) -> Tree:
    return parse(content.encode(), "/e/app.conf")


def named(found: Tree, name: str, number: int = 0) -> Position:
    return [node for node in nodes(found) if node.name == name][number].at


def test_an_argument() -> None:
    found = tree()
    change = edit.replace_argument(found, named(found, "proxy_pass", 1), 1, "http://127.0.0.1:3005/é")
    assert (change.line, change.before, change.after) == (9, "http://127.0.0.1:3000/é", "http://127.0.0.1:3005/é")
    assert edit.apply(SAMPLE.encode(), [change]).decode() == SAMPLE.replace(":3000", ":3005")
    assert change.diff.splitlines() == [
        "--- /e/app.conf",
        "+++ /e/app.conf",
        "@@ -6,7 +6,7 @@",
        " \tserver {",
        " \t\tlocation / { proxy_pass http://app; }",
        " \t\tlocation /x {",
        "-\t\t\tproxy_pass http://127.0.0.1:3000/é; # why",
        "+\t\t\tproxy_pass http://127.0.0.1:3005/é; # why",
        " ",
        " \t\t\tproxy_read_timeout 10s;",
        " \t\t}",
    ]


@pytest.mark.parametrize(
    ("make", "old", "new"),
    [
        (lambda t: edit.add_argument(t, named(t, "server", 0), "down"), "3001;", "3001 down;"),
        (lambda t: edit.replace_directive(t, named(t, "proxy_read_timeout"), "proxy_read_timeout 90s;"), "10s", "90s"),
        (lambda t: edit.set_directive(t, named(t, "location", 1), "proxy_read_timeout", "90s"), "10s", "90s"),
        (lambda t: edit.set_directive(t, named(t, "location", 0), "a", "b"), "//app;", "//app; a b;"),
        (lambda t: edit.set_directive(t, named(t, "upstream"), "zone", "z 64k"), "3002;", "3002;\n\t\tzone z 64k;"),
        (lambda t: edit.insert_after(t, named(t, "proxy_pass", 1), "a b;"), "# why", "# why\n\t\t\ta b;"),
        (lambda t: edit.insert_after(t, named(t, "server", 0), "a b;"), "# first", "# first\n\t\ta b;"),
        (lambda t: edit.insert(t, named(t, "location", 2), "a b;"), "/empty {", "/empty {\n\t\t\ta b;"),
        (lambda t: edit.insert(t, named(t, "location", 3), "a b;"), "/none { }", "/none { a b;  }"),
        (lambda t: edit.insert(t, named(t, "http"), "a b;"), "\t}\n}", "\t}\n\ta b;\n}"),
        (lambda t: edit.remove(t, named(t, "proxy_read_timeout")), "\t\t\tproxy_read_timeout 10s;\n", ""),
        (lambda t: edit.remove(t, named(t, "proxy_pass", 0)), " proxy_pass http://app;", ""),
        (lambda t: edit.remove(t, named(t, "server", 0)), "\t\tserver 127.0.0.1:3001;", ""),
        (lambda t: edit.remove(t, named(t, "upstream")), SAMPLE[7 : SAMPLE.index("\tserver {")], ""),
    ],
)
def test_the_text_after_edits(make: Callable[[Tree], Edit], old: str, new: str) -> None:
    assert SAMPLE.count(old) == 1
    assert edit.apply(SAMPLE.encode(), [make(tree())]).decode() == SAMPLE.replace(old, new)


def test_line_ends_and_indents_of_the_file_are_kept() -> None:
    content = "server {\r\n  location / {\r\n  }\r\n  a b;\r\n}\r\n"
    found = tree(content)
    assert (
        edit.apply(content.encode(), [edit.insert_after(found, named(found, "a"), "c d;")])
        == content.replace("a b;\r\n", "a b;\r\n  c d;\r\n").encode()
    )
    assert (
        edit.apply(content.encode(), [edit.insert(found, named(found, "location"), "c d;")])
        == content.replace("/ {\r\n", "/ {\r\n      c d;\r\n").encode()
    )


def test_several_edits_and_refused_ones() -> None:
    found = tree()
    first = edit.replace_argument(found, named(found, "proxy_pass", 0), 1, "http://x")
    second = edit.add_argument(found, named(found, "server", 1), "backup")
    changed = edit.apply(SAMPLE.encode(), [first, second]).decode()
    assert changed == SAMPLE.replace("http://app", "http://x").replace("3002;", "3002 backup;")
    with pytest.raises(Why502Error, match="two changes at the same position"):
        edit.apply(SAMPLE.encode(), [first, first])
    with pytest.raises(Why502Error, match="was changed since"):
        edit.apply(SAMPLE.replace("app", "bpp").encode(), [first])
    with pytest.raises(Why502Error, match="no directive begins"):
        edit.remove(found, Position(file="f", line=1, start=3))
    with pytest.raises(Why502Error, match="has no argument 2"):
        edit.replace_argument(found, named(found, "proxy_pass"), 2, "x")
    with pytest.raises(Why502Error, match="is not a block"):
        edit.insert(found, named(found, "proxy_pass"), "x;")


def test_a_block_that_nothing_closes_ends_with_what_is_in_it() -> None:
    found = tree("x {\nx { y z; }")
    assert edit.apply(b"x {\nx { y z; }", [edit.remove(found, named(found, "x"))]) == b""


def test_bytes_that_are_not_utf8_are_kept() -> None:
    content = b"# \xe9\nserver a \xff;\n"
    found = parse(content, "f")
    change = edit.replace_argument(found, named(found, "server"), 1, "b")
    assert edit.apply(content, [change]) == b"# \xe9\nserver b \xff;\n"


def test_the_end_without_a_line_feed() -> None:
    found = tree("a b;")
    assert edit.insert_after(found, named(found, "a"), "c d;").diff == (
        "--- /e/app.conf\n+++ /e/app.conf\n@@ -1,1 +1,2 @@\n-a b;\n\\ No newline at end of file\n+a b;\n+c d;\n"
        "\\ No newline at end of file\n"
    )


LINES = st.lists(
    st.sampled_from(["a b;", "  c d; # e", "x { y z; }", "x {", "}", "", "# é", "a b; c d;"]), min_size=1, max_size=12
)


@pytest.mark.skipif(shutil.which("patch") is None, reason="patch(1) is not installed")
@given(LINES, st.booleans(), st.integers(0, 20), st.integers(0, 4))
def test_patch_takes_every_diff(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], ends: bool, which: int, what: int
) -> None:
    content = ("\n".join(lines) + ("\n" if ends else "")).encode()
    found = parse(content, "f")
    directives: list[Node] = list(nodes(found))
    if not directives:
        return
    at = directives[which % len(directives)].at
    change = (
        edit.remove(found, at) if what == 0
        else edit.insert_after(found, at, "new one;") if what == 1
        else edit.add_argument(found, at, "more") if what == 2
        else edit.replace_directive(found, at, "another;\nand another;") if what == 3
        else edit.replace(found, 0, 0, "first;\n")
    )  # fmt: skip
    expected = edit.apply(content, [change])
    directory = tmp_path_factory.mktemp("p")
    Path(directory / "f").write_bytes(content)
    done = subprocess.run(
        ["patch", "-s", "--no-backup-if-mismatch", "-F0", "f"],
        input=change.diff.encode(),
        cwd=directory,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, (change.diff, done.stdout)
    assert ((directory / "f").read_bytes() if (directory / "f").exists() else b"") == expected
