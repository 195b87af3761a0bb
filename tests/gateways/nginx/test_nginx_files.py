"""Includes and dumps: the files that nginx reads, in order, and its errors for unreadable ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nginx_oracle as oracle
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nginx_samples import ALL

from why502.config.tree import content as bytes_of
from why502.gateways.nginx.config import load, load_dump, parse
from why502.gateways.nginx.config.files import _pattern
from why502.model.errors import Denied, HostError, Missing, Why502Error

LAYOUT = {
    "nginx.conf": (
        "events {}\ninclude top/*.conf;\nhttp { include mime.types; include conf.d/*.conf; include sites/*; include none/*; }\n"
    ),
    "mime.types": "types { include extra.types; text/html html; }\n",
    "extra.types": "text/plain txt;\n",
    "top/b.conf": "worker_processes 1;\n",
    "top/.hidden.conf": "this is never read;\n",
    "conf.d/10-b.conf": "server { listen unix:b.sock; include snippets/s.conf; location / { include snippets/p.conf; } }\n",
    "conf.d/9-a.conf": "map $uri $x { include maps/[ab].map; default 0; }\n",
    "conf.d/A.conf": "server { listen unix:c.sock; include snippets/s.conf; }\n",
    "conf.d/z.conf.off": "nonsense\n",
    "maps/a.map": "/a 1;\n",
    "maps/b.map": "/b 2;\n",
    "maps/c.map": "nonsense\n",
    "sites/zz": "# only a comment, \xff no line end",
    "snippets/s.conf": "add_header A b;\n",
    "snippets/p.conf": "proxy_pass http://127.0.0.1:1;\n",
    "snippets/unused.conf": "nonsense\n",
}


def files_of(contents: dict[str, str]) -> tuple[Callable[[str], bytes], Callable[[str], list[str]]]:
    def read(path: str) -> bytes:
        if path not in contents:
            raise Missing("no such file")
        return contents[path].encode()

    def listing(directory: str) -> list[str]:
        start = directory.rstrip("/") + "/"
        return sorted({path.removeprefix(start).split("/")[0] for path in contents if path.startswith(start)})

    return read, listing


@oracle.needs_nginx
@pytest.mark.real
def test_files_and_their_order_are_those_of_nginx(tmp_path: Path) -> None:
    main = oracle.write(tmp_path, dict(LAYOUT))
    printed = oracle.dump(main)
    ours = load(oracle.read, oracle.listing, str(main), str(tmp_path))
    theirs = load_dump(printed, str(tmp_path))
    assert not ours.problems and not ours.gaps
    assert [file.path for file in ours.files] == [
        line[21:-1] for line in printed.decode().splitlines() if line.startswith("# conf")
    ]
    assert ours == theirs
    assert [bytes_of(file) for file in ours.files] == [Path(file.path).read_bytes() for file in ours.files]
    assert [route.at and route.at.file for route in ours.routes] == [str(tmp_path / "snippets/p.conf")]


@oracle.needs_nginx
@pytest.mark.real
@pytest.mark.parametrize("name", sorted(set(ALL) - {"stream"}))
def test_a_configuration_that_nginx_accepts_has_no_problem(name: str, tmp_path: Path) -> None:
    main = oracle.write(tmp_path, {"nginx.conf": ALL[name]})
    assert oracle.refusal(main) is None
    assert load(oracle.read, oracle.listing, str(main), str(tmp_path)).problems == ()


@oracle.needs_nginx
@pytest.mark.real
@pytest.mark.parametrize(
    "text",
    [
        "events {}\nhttp {\n  server { listen unix:a.sock\n  }\n}\n",
        "events {}\nhttp {\n",
        "events {}\n}\n",
        "events {}\nhttp { server { listen unix:a.sock; }; }\n",
        "events {}\nerror_log 'a\n;",
        "events {}\nerror_log 'a'b;",
        'events {}\nerror_log "a"#\n;',
        "{ }\n",
        "events {}\n# x\nerror_log a" + "a" * 4095 + ";\n",
        "events {}\n#" + "a" * 4096 + "\nerror_log stderr;\n",
        "events {}\nerror_log 'a" + "b\n" * 4096,
        "events {}\n#" + "a" * 4096,
        "events {}\nhttp { include missing.conf; }\n",
        "events {}\nhttp { server { location / { proxy_pass 127.0.0.1:80; } } }\n",
        "events {}\nhttp { server { location / { fastcgi_pass 127.0.0.1; } } }\n",
        "events {}\nhttp { server { location / { proxy_pass http://127.0.0.1:x/; } } }\n",
        "events {}\nhttp { upstream a { server 127.0.0.1:1; } server { location / { proxy_pass http://a:80; } } }\n",
        "events {}\nhttp { server { location / { proxy_pass http://127.0.0.1; proxy_read_timeout 1x; } } }\n",
        "events {}\nhttp { access_log a.log nosuch; server { } }\n",
    ],
)
def test_a_configuration_that_nginx_refuses_has_its_message_and_position(text: str, tmp_path: Path) -> None:
    main = oracle.write(tmp_path, {"nginx.conf": text})
    theirs = oracle.refusal(main)
    assert theirs is not None
    ours = load(oracle.read, oracle.listing, str(main), str(tmp_path)).problems[0]
    assert ours.at is not None
    assert theirs[0].startswith(ours.message)
    if theirs[1]:
        assert (ours.at.file, ours.at.line) == theirs[1:]


@oracle.needs_nginx
@pytest.mark.real
@pytest.mark.parametrize(
    "text",
    [
        "# x" + "a" * 4092 + "\nevents {}\n",
        "error_log logs/" + "a" * 80 + ";events {}#" + "b" * 4095,
        "events {}\n\n\n#\r\n\t \r\n",
    ],
)
def test_long_but_legal(text: str, tmp_path: Path) -> None:
    main = oracle.write(tmp_path, {"nginx.conf": text})
    assert oracle.refusal(main) is None
    assert load(oracle.read, oracle.listing, str(main), str(tmp_path)).problems == ()


WORDS = [
    '"a b"', "'a\"b'", r'"a\"b\\c\td"', r"a\;b\ c\{", "${a}b", "a$b", "a#b", "a}b", 'a"b', "$", "${{{x", "é", '"x"\t', r"\#a",
    r"\'a'", "${a b", r'"\x"',
    "a$ ", r"a\\", "'${'",
]  # fmt: skip


@oracle.needs_nginx
@pytest.mark.real
@pytest.mark.parametrize("raw", WORDS)
def test_words_mean_the_same_as_to_nginx(raw: str, tmp_path: Path) -> None:
    """nginx quotes an unknown directive as it understood it."""
    content = f"\n\n{raw};\n"
    theirs = oracle.refusal(oracle.write(tmp_path, {"nginx.conf": content}))
    (node,) = parse(content.encode(), "f").children
    assert theirs is not None
    assert theirs[0] == f'unknown directive "{node.name}"'
    assert theirs[2] == node.at.line


def test_a_file_that_includes_itself_is_read_once() -> None:
    read, listing = files_of(
        {"/e/nginx.conf": "include a;\n", "/e/a": "user x;\ninclude b;\n", "/e/b": "include [ab];\npid p;\n"}
    )
    ours = load(read, listing, "/e/nginx.conf")
    assert [file.path for file in ours.files] == ["/e/nginx.conf", "/e/a", "/e/b"]
    assert ours.user == "x"
    assert len(ours.problems) == 2
    assert all("includes itself" in problem.message for problem in ours.problems)


def test_many_includes_of_one_another_end() -> None:
    contents = {f"/e/{n}": f"include {n + 1};\ninclude {n + 1};\n" for n in range(60)}
    contents["/e/60"] = "set a b;\n"
    ours = load(*files_of(contents), "/e/0")
    assert any("too large" in gap.reason for gap in ours.gaps)


def test_an_unreadable_file_is_a_gap_and_not_a_problem() -> None:
    def read(path: str) -> bytes:
        if path == "/e/nginx.conf":
            return b"include a;\ninclude b/*;\n"
        raise Denied("permission denied", "run as root")

    def listing(directory: str) -> list[str]:
        raise Denied("permission denied", "run as root")

    ours = load(read, listing, "/e/nginx.conf")
    assert ours.problems == ()
    assert [(gap.reason, gap.hint) for gap in ours.gaps] == [
        ("/e/a: permission denied", "run as root"),
        ("/e/b: permission denied", "run as root"),
    ]


def test_files_that_are_too_large_are_left_out() -> None:
    contents = {"/e/nginx.conf": "http { geo $a { include big; } }\nuser x;\n", "/e/big": "10.0.0.0/8 1;\n" * 100_000}
    ours = load(*files_of(contents), "/e/nginx.conf")
    assert (ours.user, [file.path for file in ours.files], ours.problems) == ("x", ["/e/nginx.conf"], ())
    assert ours.gaps[0].reason == "/e/big was not read"
    with pytest.raises(HostError):
        load(*files_of({"/e/nginx.conf": "#" * (16 << 20)}), "/e/nginx.conf")


def test_an_unreadable_main_file_raises_the_error() -> None:
    with pytest.raises(HostError):
        load(*files_of({}), "/e/nginx.conf")
    with pytest.raises(Why502Error):
        load_dump(b"user nobody;\n")


@given(st.binary(max_size=200))
def test_any_content_is_read(content: bytes) -> None:
    def read(path: str) -> bytes:
        return content

    load(read, lambda directory: ["a", "b"], "/e/nginx.conf", command_line="daemon off;")


@pytest.mark.parametrize(
    ("pattern", "fits", "others"),
    [
        ("*.conf", ["a.conf", "a.b.conf"], [".a.conf", "conf", "a.confx"]),
        (".*", [".a"], ["a"]),
        ("[!a-c]?", ["dx"], ["ax", "d"]),
        ("[^a]", ["b"], ["a"]),
        ("[]a]", ["]", "a"], ["b"]),
        (r"\*", ["*"], ["a"]),
        ("[", ["["], ["a"]),
        ("a[b-", ["a[b-"], ["ab"]),
        ("{a,b}*", ["{a,b}c"], ["a"]),
    ],
)
def test_patterns(pattern: str, fits: list[str], others: list[str]) -> None:
    matches = _pattern(pattern)
    assert all(matches(name) for name in fits)
    assert not any(matches(name) for name in others)


PIECES = st.sampled_from(
    ["a", "b c", ";", ";\n", " ", "\t", "\r\n", "\n", "# c\n", "#", '"', "'", '"x y"', "'q'", "\\", '\\"', "$", "${", "${a}",
    ")", "(", "{", "}", "é", "{2}", "\\;"]
)  # fmt: skip


@oracle.needs_nginx
@pytest.mark.real
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PIECES, max_size=14).map("".join))
def test_any_words_are_accepted_or_refused_as_by_nginx(tmp_path: Path, inside: str) -> None:
    """A `types` block accepts any words: nginx refuses only errors of the language itself."""
    main = oracle.write(tmp_path, {"nginx.conf": f"events {{}}\nhttp {{ types {{\n{inside}\n}} }}\n"})
    theirs = oracle.refusal(main)
    ours = parse(main.read_bytes(), str(main)).problems
    if theirs is None:
        assert ours == ()
    elif not theirs[0].startswith(('unexpected "{"', "unknown directive", "duplicate")) and "directive" not in theirs[0]:
        assert ours
        assert (ours[0].message, ours[0].at and ours[0].at.line) == (
            theirs[0].replace("\ufffd", "é"),
            theirs[2],
        )  # nginx shows only the first byte


@oracle.needs_nginx
@pytest.mark.real
@pytest.mark.skipif(not Path("/etc/nginx/nginx.conf").exists(), reason="no packaged configuration")
def test_the_packaged_configuration() -> None:
    main = Path("/etc/nginx/nginx.conf")
    if oracle.refusal(main) is not None:
        pytest.skip("this machine's own configuration is broken")
    printed = oracle.dump(main)
    ours = load(oracle.read, oracle.listing, str(main))
    assert not ours.problems and not ours.gaps
    assert ours == load_dump(printed)
