"""The rules about HAProxy: each reports its finding and no other; what HAProxy is said to refuse, it refuses."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from lint_sample import Pair, found, given, has_samples

from why502.linter.engine import RULES

MAIN = "/site/haproxy.cfg"
TIMES = "timeout connect 5s\n timeout client 30s\n timeout server 30s"
FRONT = "frontend web\n bind 127.0.0.1:8080\n default_backend app"
APP = "backend app\n server a 127.0.0.1:3000 check"


@dataclass(frozen=True)
class Sample(Pair):
    """`said`: what `haproxy -c` says of `bad`, where it refuses it or warns; not of `good`."""

    said: str = ""


def whole(*parts: str, mode: str = "http", times: str = TIMES, top: str = "") -> str:
    """Return a configuration with these sections."""
    return "\n".join((f"global\n maxconn 100\n {top}", f"defaults\n mode {mode}\n {times}", *parts, ""))


def app(lines: str, front: str = FRONT) -> str:
    """Return a configuration whose backend has these lines."""
    return whole(front, f"backend app\n {lines}")


def web(lines: str) -> str:
    """Return a configuration whose frontend has these lines before its default."""
    return whole(
        f"frontend web\n bind 127.0.0.1:8080\n {lines}\n default_backend app", APP, "backend other\n server b 127.0.0.1:1 check"
    )


TWO = "server a 127.0.0.1:3000\n server b 127.0.0.1:3001"
ADDRESS = "server a 127.0.0.1:443 ssl"
NAMED = "server a 127.0.0.1:3000 check resolvers dns"
TCP = "frontend web\n bind 127.0.0.1:8080\n acl a hdr(host) x\n use_backend app if a\n default_backend app"
SAMPLES = (
    Sample(319, web("use_backend other if { path_beg api }"), web("use_backend other if { path_beg /api }")),
    Sample(
        319,
        web("acl is_api path -i api\n use_backend other if is_api"),
        web("acl is_api path_sub -i api\n use_backend other if is_api"),
    ),
    Sample(320, whole(TCP, APP, mode="tcp"), whole(f"{TCP}\n tcp-request inspect-delay 5s", APP, mode="tcp")),
    Sample(300, whole(FRONT, APP, times="timeout connect 5s"), whole(FRONT, APP), "missing timeouts for"),
    Sample(300, whole(FRONT, APP, times="timeout client 5s"), whole(FRONT, APP), "missing timeouts for"),
    Sample(301, whole(FRONT, APP, times=TIMES.replace("30s", "30")), whole(FRONT, APP, times=TIMES.replace("30s", "3000"))),
    Sample(
        302,
        app("option httpchk GET /up\n server a 127.0.0.1:3000"),
        app("option httpchk GET /up\n server a 127.0.0.1:3000 check"),
    ),
    Sample(
        302,
        app("option tcp-check\n server a 127.0.0.1:3000"),
        app("option tcp-check\n default-server check\n server a 127.0.0.1:3000"),
    ),
    Sample(303, app(TWO), app(f"{TWO} check")),
    Sample(303, app(TWO), app(f"option redispatch\n {TWO}")),
    Sample(303, app(TWO), app(f"{TWO} backup")),
    Sample(304, whole(FRONT), whole(FRONT, APP), "unable to find required default_backend"),
    Sample(
        304,
        web("use_backend api if TRUE\n use_backend other if TRUE"),
        web("use_backend other if TRUE"),
        "unable to find required use_backend",
    ),
    Sample(
        305,
        whole(f"{FRONT}\n mode http", APP, mode="tcp"),
        whole(FRONT, APP, mode="tcp"),
        "tries to use incompatible tcp backend",
    ),
    Sample(306, web("use_backend other\n use_backend app if TRUE"), web("use_backend app if TRUE\n use_backend other")),
    Sample(
        307,
        web("use_backend other if api"),
        web("acl api path_beg /api\n use_backend other if api !api or METH_POST"),
        "no such ACL",
    ),
    Sample(
        307,
        web("use_backend other if { path /x } api\n acl api path_beg /api"),
        web("acl api path_beg /api\n use_backend other if { path /x } api"),
        "no such ACL",
    ),
    Sample(308, whole(FRONT, "backend app"), whole(FRONT, "backend app\n http-request return status 200")),
    Sample(308, whole(FRONT, "backend app"), whole(FRONT, APP)),
    Sample(309, whole(FRONT, APP, "backend old\n server a 127.0.0.1:1 check"), web("use_backend other if TRUE")),
    Sample(
        309,
        whole(FRONT, APP, "backend old\n server a 127.0.0.1:1 check"),
        whole(FRONT.replace("default_backend app", "use_backend %[path]"), APP),
    ),
    *(
        Sample(318, whole(FRONT, APP, top=top, times=f"{TIMES}\n {line}"), whole(FRONT, APP), "supported any more")
        for top, line in (("nbproc 2", ""), ("", "option forceclose"), ("", "option http-tunnel"), ("", "option http_proxy"))
    ),
    *(
        Sample(318, whole(FRONT, APP, times=f"{TIMES}\n {line}"), whole(FRONT, APP), "supported anymore")
        for line in ("contimeout 5000", "clitimeout 5000", "srvtimeout 5000", "redispatch")
    ),
    *(
        Sample(318, whole(f"{FRONT}\n {line}", APP), whole(FRONT, APP), "supported anymore")
        for line in (
            "reqadd X:a",
            "rspadd X:a",
            "reqidel ^X",
            "reqirep ^a b",
            "rspidel ^X",
            "rspirep ^a b",
            "reqdeny ^a",
            "block if TRUE",
        )
    ),
    Sample(318, whole(f"{FRONT}\n grace 5", APP), whole(FRONT, APP), "supported any more"),
    Sample(318, app("server a 127.0.0.1:1 check\n appsession J len 52 timeout 3h"), whole(FRONT, APP), "supported anymore"),
    Sample(310, app("server a 127.0.0.1:1 check\n server a 127.0.0.1:2 check"), app(f"{TWO} check"), "another server named"),
    Sample(311, app("server a 127.0.0.1:1 check\n server b 127.0.0.1:1 check"), app(f"{TWO} check")),
    Sample(312, app(f"{ADDRESS} check"), app(f"{ADDRESS} check verify none"), "verify is enabled by default but no CA file"),
    Sample(
        312,
        app(f"{ADDRESS} check"),
        whole(FRONT, f"backend app\n {ADDRESS}", top="ssl-server-verify none"),
        "verify is enabled by default but no CA file",
    ),
    Sample(
        313,
        app("server a api.shop.com:443 ssl verify none resolvers default init-addr none"),
        app("server a api.shop.com:443 ssl verify none resolvers default init-addr none sni str(api.shop.com)"),
    ),
    Sample(
        314,
        app("retry-on all-retryable-errors\n server a 127.0.0.1:3000"),
        app("retry-on conn-failure\n server a 127.0.0.1:3000"),
    ),
    Sample(
        314,
        app("retry-on empty-response\n server a 127.0.0.1:3000"),
        app("retry-on empty-response\n http-request disable-l7-retry if METH_POST\n server a 127.0.0.1:3000"),
    ),
    Sample(315, app("server a app:3000 init-addr none"), app("server a app:3000 init-addr none resolvers default")),
    Sample(315, app("server a app.lan:3000 init-addr none"), app("server a [::1]:3000")),
    Sample(
        316,
        app(NAMED),
        whole(FRONT, f"backend app\n {NAMED}", "resolvers dns\n nameserver one 127.0.0.1:53"),
        "unable to find required resolvers",
    ),
    Sample(317, whole(f"{FRONT}\n maxconn 500", APP), whole(f"{FRONT}\n maxconn 50", APP)),
)
_IDS = [f"{sample.rule}-{RULES[sample.rule].name}-{number}" for number, sample in enumerate(SAMPLES)]


def test_every_rule_has_a_sample() -> None:
    assert has_samples("haproxy", SAMPLES)


@pytest.mark.parametrize("sample", SAMPLES, ids=_IDS)
def test_a_rule_speaks_alone(sample: Sample) -> None:
    risks = found({MAIN: sample.bad})
    assert {risk.rule for risk in risks} == {sample.rule}, [(risk.rule, risk.message) for risk in risks]
    assert all(risk.at and risk.at.line > 1 and risk.remedies for risk in risks)


@pytest.mark.parametrize("sample", SAMPLES, ids=_IDS)
def test_a_rule_is_silent(sample: Sample) -> None:
    assert found({MAIN: sample.good}) == ()


@pytest.mark.real
@pytest.mark.skipif(shutil.which("haproxy") is None, reason="needs haproxy")
def test_haproxy_says_so(tmp_path: Path) -> None:
    for sample in SAMPLES:
        for text, is_bad in ((sample.bad, True), (sample.good, False)):
            path = tmp_path / "haproxy.cfg"
            path.write_text(text)
            done = subprocess.run(["haproxy", "-c", "-f", path], capture_output=True, text=True, timeout=30, check=False)
            # a keyword that was removed is a warning for those who still have an old HAProxy; this one is newer
            is_refused = is_bad and (RULES[sample.rule].severity.value == "error" or "supported an" in sample.said)
            assert bool(done.returncode) is is_refused, (sample, done.stderr)
            assert not sample.said or (sample.said in done.stderr) is is_bad, (sample, done.stderr)


def test_a_fragment_is_not_blamed_for_what_may_be_elsewhere() -> None:
    assert found({"/site/web.cfg": f"{FRONT}\n"}) == ()
    assert found({"/site/app.cfg": f"{APP}\n", "/site/haproxy.cfg": whole(FRONT)}) == ()


def test_two_main_files_are_two_configurations() -> None:
    one, other = whole(FRONT, APP), whole(FRONT)
    assert {risk.at.file for risk in found({"/site/a.cfg": one, "/site/b.cfg": other}) if risk.at} == {"/site/b.cfg"}


def test_in_a_condition_that_is_unknown_nothing_is_said() -> None:
    text = whole(FRONT, "backend app\n .if defined(X)\n server a 127.0.0.1:1\n server b 127.0.0.1:2\n .endif")
    assert found({MAIN: text}) == ()


def test_a_directory_with_both_products_is_read() -> None:
    nginx = "events {}\nhttp { server { location / { proxy_pass http://0.0.0.0:3000; } } }\n"
    files = {MAIN: whole(FRONT), "/site/nginx.conf": nginx, "/site/setup.cfg": "[metadata]\nname = x\n"}
    risks = found(files, "1.22.1", "/site")
    assert {"W502-304", "W502-028"} <= {risk.rule for risk in risks}
    assert given(files, "1.22.1", "/site").unchecked == ()
