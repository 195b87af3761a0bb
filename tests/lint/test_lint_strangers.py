"""What strangers' repositories showed: configuration that looks wrong and is not, or one mistake that was told twice."""

from __future__ import annotations

import pytest
from lint_sample import found, given

from why502.deployment.files import Level
from why502.diagnosis.causes.proxy.proxy_target_invalid import named_missing

HTTP = "events {}\nhttp {\n%s\n}\n"
POOL = "[www]\nuser = www\nlisten = /run/php/php7.0-fpm.sock\npm = static\npm.max_children = 4\n"
SITE = "server { listen 80; location ~ \\.php$ { fastcgi_pass unix:/run/php/php%s-fpm.sock; } }"


def _names(files: dict[str, str]) -> set[str]:
    severe = [risk for risk in found(files, "", "/repo") if str(risk.severity) != "note"]
    return {risk.rule for risk in severe}


def test_a_pipeline_of_logstash_is_no_configuration() -> None:
    text = "input {\n  http {\n    port => 8080\n  }\n}\nfilter {\n}\n"
    assert given({"/repo/pipeline/logstash.conf": text}, "", "/repo").texts == {}


@pytest.mark.parametrize("block", ["uptream www-https { server 127.0.0.1:2; }", ""])
def test_a_group_with_a_misspelt_word_is_told_once(block: str) -> None:
    text = (
        HTTP % f"upstream www-http {{ server 127.0.0.1:1; }}\n{block}\nserver {{ location / {{ proxy_pass http://www-https; }} }}"
    )
    assert ("W502-022" in _names({"/repo/nginx.conf": text})) == (not block)


def test_a_group_in_the_wrong_block_is_told_once() -> None:
    text = "upstream app { server 127.0.0.1:1; }\n" + HTTP % (
        "server { location / { proxy_pass http://app; } location /b { if ($arg_a) { proxy_pass http://app/b$is_args; } } }"
    )
    assert _names({"/repo/nginx.conf": text}) == {"W502-006"}


def test_a_name_in_a_fragment_may_be_a_group() -> None:
    text = "server { location / { proxy_pass http://app; } location ~ ^/(docs) { proxy_pass http://app/$1; } }"
    assert _names({"/repo/nginx/site.conf": text}) == set()


@pytest.mark.parametrize(("version", "is_told"), [("7.4", False), ("7.0", False), ("", True)])
def test_pools_of_another_php_may_be_those_of_its_package(version: str, is_told: bool) -> None:
    files = {"/repo/etc/php/7.0/fpm/pool.d/www.conf": POOL, "/repo/nginx/nginx.conf": HTTP % (SITE % version)}
    assert ("W502-034" in _names(files)) == is_told


@pytest.mark.parametrize(("main", "is_told"), [("docker-nginx.conf", False), ("nginx.prod.conf", False), ("nginx.conf", True)])
def test_a_second_main_file_has_a_directory_of_its_own(main: str, is_told: bool) -> None:
    body = "upstream app { server 127.0.0.1:1; }\ninclude /etc/nginx/conf.d/*.conf;"
    files = {f"/repo/nginx/{main}": HTTP % body, "/repo/nginx/conf.d/app.conf": "upstream app { server 127.0.0.1:1; }"}
    assert ("W502-013" in _names(files)) == is_told


def test_a_brace_that_is_part_of_a_word_is_told_once() -> None:
    text = HTTP % "server {\nlocation ~ \\.php${\ntry_files $uri =404;\n}\n}"
    assert _names({"/repo/nginx.conf": text}) == {"W502-160"}


def test_a_server_with_thousands_of_locations_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []
    own = Level.own

    def counted(level: Level, *names: str) -> tuple[object, ...]:
        asked.append(names)
        return own(level, *names)

    places = "".join(f"location /{number} {{ error_page 502 @busy; }}\n" for number in range(500))
    (deployment,) = given(
        {"/repo/nginx.conf": HTTP % f"server {{ {places} location @busy {{ return 503; }} }}"}, "", "/repo"
    ).deployments
    monkeypatch.setattr(Level, "own", counted)
    assert list(named_missing.looks(deployment)) == []
    assert asked.count(("location",)) == 1
