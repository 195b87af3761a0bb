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


def _notes(files: dict[str, str]) -> set[str]:
    return {risk.rule for risk in found(files, "", "/repo") if str(risk.severity) == "note"}


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


@pytest.mark.parametrize("version", ["7.4", "7.0", ""])
def test_pools_that_a_repository_does_not_have_may_be_those_of_the_package(version: str) -> None:
    files = {"/repo/etc/php/7.0/fpm/pool.d/www.conf": POOL, "/repo/nginx/nginx.conf": HTTP % (SITE % version)}
    assert "W502-034" not in _names(files)
    assert ("W502-034" in _notes(files)) == (version != "7.0")


@pytest.mark.parametrize(("main", "is_told"), [("docker-nginx.conf", False), ("nginx.prod.conf", False), ("nginx.conf", True)])
def test_a_second_main_file_has_a_directory_of_its_own(main: str, is_told: bool) -> None:
    body = "upstream app { server 127.0.0.1:1; }\ninclude /etc/nginx/conf.d/*.conf;"
    files = {f"/repo/nginx/{main}": HTTP % body, "/repo/nginx/conf.d/app.conf": "upstream app { server 127.0.0.1:1; }"}
    assert ("W502-013" in _notes(files)) == is_told


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


@pytest.mark.parametrize(("directory", "is_told"), [("conf.d", False), ("sites-enabled", True)])
def test_files_of_one_directory_may_belong_to_several_machines(directory: str, is_told: bool) -> None:
    main = HTTP % f"include /etc/nginx/{directory}/*.conf;"
    server = "server { listen 80 default_server; listen 81 backlog=9; server_name shop.example; }"
    site = "upstream app { server 127.0.0.1:1; }\n" + server
    files = {
        "/repo/nginx/nginx.conf": main,
        f"/repo/nginx/{directory}/one.conf": site,
        f"/repo/nginx/{directory}/two.conf": site,
    }
    conflicts = {"W502-013", "W502-015", "W502-113", "W502-163"}
    assert {risk.rule for risk in found(files, "", "/repo")} >= conflicts
    assert _names(files) == (conflicts if is_told else set())


RECIPE = "FROM debian\nRUN ./configure \\\n    %s\n"


@pytest.mark.parametrize(
    ("recipe", "is_own"),
    [
        (RECIPE % "--add-module=/src/dynamic-servers", True),
        (RECIPE % "--with-http_v2_module", False),
        ("FROM openresty/openresty:alpine\n", True),
        ("FROM nginx:alpine\n", False),
    ],
)
def test_what_an_nginx_of_ones_own_knows_is_not_known_here(recipe: str, is_own: bool) -> None:
    text = (
        HTTP
        % "upstream app { server app.example resolve; }\nserver { proxy_bufer_size 8k; location / { proxy_pass http://app; } }"
    )
    files = {"/repo/nginx/nginx.conf": text, "/repo/docker/Dockerfile": recipe}
    assert {risk.rule for risk in found(files, "", "/repo")} >= {"W502-002", "W502-018"}
    assert _names(files) == (set() if is_own else {"W502-002", "W502-018"})


@pytest.mark.parametrize(
    "line",
    [
        "ssl_certificate <path to the fullchain.pem>;",
        "server_name <domain>;",
        "location /desktop/{instance}/ { return 204; }",
        "location /x { proxy_pass https://{ip}:6901/; }",
        "server_name {replaceme-name};",
        "ssl_certificate_key /etc/ssl/{name-of-site}.key;",
        "server_name [your domain];",
        "location / {\nproxy_pass #DESTINATION_1#;\n}",
        "root HTTP_DOCUMENTROOT;",
    ],
)
def test_placeholders_of_people_and_programs_of_ones_own(line: str) -> None:
    text = f"server {{\nlisten 443 ssl;\nproxy_bufer_size 8k;\n{line}\n}}\n"
    assert given({"/repo/nginx/site.conf": text}, "", "/repo").texts == {}


@pytest.mark.parametrize(
    "line",
    [
        'add_header X-Note "<path to nothing>";',
        "server_name ~^(?<site>.+)\\.shop\\.example$;",
        "location ~ ^/(?<part>[a-z]+)/ { root /srv; }",
        "location / {deny all;}",
        "listen [::]:80; listen [fe80::abcd]:80;",
        "server_name ~^[abcdef]+\\.example$;",
        "server_name shop.example; #DEV#",
        "root /srv/APP_ONE/public;",
        "sub_filter </head> '<b>{ip}</b></head>';",
        "location ~ '^/[0-9]{1,3}/{id}' { root /srv; }",
    ],
)
def test_what_resembles_a_placeholder(line: str) -> None:
    assert given({"/repo/nginx/site.conf": f"server {{\n{line}\n}}\n"}, "", "/repo").texts != {}


def test_a_template_by_its_name() -> None:
    text = "server { listen 80; }\n"
    assert given({"/repo/nginx/site_template.conf": text}, "", "/repo").texts == {}
    assert given({"/repo/nginx/templates.conf": text}, "", "/repo").texts != {}


def test_a_stream_beside_servers_is_told_once() -> None:
    text = (
        "upstream app { server 127.0.0.1:1; }\nstream {\nserver { listen 1; proxy_pass 127.0.0.1:2; }\n}\nserver { listen 80; }\n"
    )
    files = {"/repo/nginx/nginx.conf": HTTP % "include conf.d/*.conf;", "/repo/nginx/conf.d/app.conf": text}
    severe = [risk for risk in found(files, "", "/repo") if str(risk.severity) != "note"]
    assert [(risk.rule, risk.message) for risk in severe] == [("W502-006", '"stream" is not allowed in http')]


def test_what_follows_from_a_lost_semicolon_is_told_once() -> None:
    text = HTTP % "server {\nlisten 443 ssl\nssl_certificate /a.pem;\nssl_certificate_key /a.key;\n}"
    severe = [risk for risk in found({"/repo/nginx.conf": text}, "", "/repo") if str(risk.severity) != "note"]
    assert [risk.message for risk in severe] == ['"listen" does not accept "ssl_certificate"']


def test_two_servers_with_the_name_of_an_example() -> None:
    text = HTTP % "server { listen 80; server_name %s; }\nserver { listen 80; server_name %s; }"
    assert _names({"/repo/nginx.conf": text % ("example.com", "example.com")}) == set()
    assert _names({"/repo/nginx.conf": text % ("shop.test", "shop.test")}) == {"W502-113"}


def test_the_pool_of_the_package_is_seldom_in_a_repository() -> None:
    pool = POOL.replace("[www]", "[shop]").replace("php7.0-fpm", "php72-shop")
    files = {"/repo/etc/php/7.2/fpm/pool.d/shop.conf": pool, "/repo/nginx/nginx.conf": HTTP % (SITE % "7.2")}
    assert "W502-034" not in _names(files)


@pytest.mark.parametrize("names", [("/repo",), ("/repo/nginx/site.conf",)])
def test_what_nginx_refuses_in_a_piece_that_nothing_includes(names: tuple[str, ...]) -> None:
    text = "server {\nlisten 80;\nssl_certificate ~path of the key~;\nlocation / { proxy_pass «backend»; }\n}\n"
    rules = {(risk.rule, str(risk.severity)) for risk in found({"/repo/nginx/site.conf": text}, "", *names)}
    severity = "note" if names == ("/repo",) else "error"
    assert {("W502-160", severity), ("W502-001", severity)} <= rules


@pytest.mark.parametrize(("before", "is_told"), [("rewrite ^(.*) https://shop.test$1 permanent;", False), ("", True)])
def test_a_named_location_that_is_never_reached(before: str, is_told: bool) -> None:
    text = HTTP % f"server {{ try_files $uri @missing; {before} }}"
    assert ("W502-115" in _names({"/repo/nginx.conf": text})) == is_told


@pytest.mark.parametrize(
    "text",
    [
        "server { listen 80; location ~ ^/game/ws$ { set $app http://app:1; proxy_pass $app/ws; } }",
        "server { listen 80; location = /api/ { set $app http://app:1; proxy_pass $app/; } }",
        (
            "server { listen 80; location / { proxy_pass http://nexus:8081/a/; }"
            " location ~ ^/v2/(.*)$ { proxy_pass http://nexus:8081/a/$1; } }"
        ),
        "server { listen 80; location ~ \\.txt$ { error_log /l.log crit; } location / { proxy_pass http://127.0.0.1:1; } }",
        "client_header_buffer_size 8k; large_client_header_buffers 2 2k;",
        (
            "fastcgi_cache_path /c keys_zone=c:1m; server { location ~ \\.php { fastcgi_pass 127.0.0.1:9; fastcgi_cache c;"
            " fastcgi_cache_purge PURGE from 127.0.0.1; } }"
        ),
        (
            "proxy_set_header Upgrade $http_upgrade; server { location / { proxy_pass http://127.0.0.1:1; } location /b {"
            " proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_pass http://127.0.0.1:1; } }"
        ),
    ],
)
def test_what_a_location_is_for_is_looked_at(text: str) -> None:
    told = _names({"/repo/nginx/nginx.conf": HTTP % f"resolver 127.0.0.53; {text}" if "nexus" not in text else HTTP % text})
    assert not told & {"W502-024", "W502-052", "W502-093", "W502-111", "W502-122", "W502-132"}


def test_a_piece_of_a_server_may_inherit_its_headers() -> None:
    place = "location /websocket { proxy_pass http://127.0.0.1:1; }"
    assert "W502-050" not in _notes({"/repo/locations/app.conf": place})
    assert "W502-050" in _notes({"/repo/sites/app.conf": f"server {{ {place} }}"})


def test_files_that_are_copied_to_another_directory_are_found_by_the_end_of_their_path() -> None:
    headers = 'proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";'
    main = HTTP % "server { include /config/nginx/proxy.conf; include /config/nginx/apps/*.conf; }"
    place = "location /websocket { proxy_pass http://127.0.0.1:1; }"
    files = {"/repo/nginx.conf": main, "/repo/proxy.conf": headers, "/repo/apps/app.conf": place}
    assert "W502-050" not in _notes(files)
    assert "W502-050" in _notes({**files, "/repo/proxy.conf": "proxy_buffering on;"})


def test_a_directive_outside_of_all_blocks_is_told_once() -> None:
    text = "access_log /l.log mine;\n" + HTTP % "server { location / { proxy_pass http://127.0.0.1:1; } }"
    assert _names({"/repo/nginx.conf": text}) == {"W502-006"}


def test_a_placeholder_of_httpd_and_haproxy_needs_no_semicolon() -> None:
    host = "<VirtualHost *:80>\nProxyPass / http://%s:8002/\nProxyPass /a/ http://127.0.0.1:3/a\n</VirtualHost>\n"
    assert given({"/repo/site.conf": host % "<your ip here>"}, "", "/repo").texts == {}
    assert "/repo/site.conf" in given({"/repo/site.conf": host % "10.0.0.1"}, "", "/repo").texts


def test_a_server_is_sorted_once_for_all_its_error_pages() -> None:
    places = "".join(f"location /{name} {{ error_page 502 /{name}.html; proxy_pass http://127.0.0.1:1; }}" for name in "abc")
    (deployment,) = given({"/repo/nginx.conf": HTTP % f"server {{ listen 80; {places} }}"}, "", "/repo").deployments
    (at,) = {route.server_at for route in deployment.routes}
    assert deployment.within(at) is deployment.within(at)


@pytest.mark.parametrize("blank", ["\n" * 3, " \r\n\t\r\n", ""])
def test_a_comment_after_empty_lines_is_no_placeholder(blank: str) -> None:
    text = HTTP % f"{blank}\t# listen <port> {{{{ port }}}};\n server {{ listen 80; }}"
    assert "/repo/nginx.conf" in given({"/repo/nginx.conf": text}, "", "/repo").texts


@pytest.mark.parametrize(("timeout", "is_told"), [("10s", True), ("1h", False)])
def test_websockets_with_a_location_of_their_own_are_not_those_of_the_others(timeout: str, is_told: bool) -> None:
    upgrade = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;"
    text = HTTP % (
        "upstream app { server 127.0.0.1:1; }\nserver { listen 80;\n"
        f"location /ws/ {{ {upgrade} proxy_read_timeout 9s; proxy_pass http://app/; }}\n"
        f"location /live/ {{ {upgrade} proxy_read_timeout {timeout}; proxy_pass http://app; }} }}"
    )
    assert ("W502-053" in _names({"/repo/nginx.conf": text})) == is_told


@pytest.mark.parametrize(("group", "is_told"), [("shop_pages", False), ("other", True)])
def test_a_variable_whose_values_are_groups_names_no_private_hosts(group: str, is_told: bool) -> None:
    text = HTTP % (
        f"resolver 9.9.9.9;\nmap $host $site {{ default shop; b.example blog; }}\nupstream {group} {{ server 127.0.0.1:1; }}\n"
        "server { listen 80; location / { proxy_pass http://${site}_pages; } }"
    )
    assert ("W502-021" in _names({"/repo/nginx.conf": text})) == is_told


def test_a_file_included_by_several_servers_may_serve_only_one() -> None:
    text = HTTP % (
        "resolver 9.9.9.9;\nupstream shop_pages { server 127.0.0.1:1; }\n"
        "server { listen 80; server_name a; set $site shop; include site.inc; }\n"
        "server { listen 80; server_name b; set $site blog; include site.inc; }"
    )
    files = {"/repo/nginx.conf": text, "/repo/site.inc": "location @pages { proxy_pass http://${site}_pages; }"}
    assert _names(files) == set()


@pytest.mark.parametrize(
    ("name", "is_told"),
    [("nginx.conf", True), ("nginx (2).conf", False), ("_OLD/nginx.conf", False), ("conf_bak/nginx.conf", False)],
)
def test_a_numbered_copy_is_not_read(name: str, is_told: bool) -> None:
    text = HTTP % "server { listen 80; location / { proxy_pass http://0.0.0.0:1; } }"
    assert ("W502-028" in _names({f"/repo/{name}": text, "/repo/other/nginx.conf": HTTP % ""})) == is_told


def test_what_follows_from_a_lost_opening_brace_is_told_once() -> None:
    site = "listen 80;\nserver_name shop.test;\nlocation / { root /srv; }\nlocation /a { root /srv; }\n}\n"
    files = {"/repo/nginx/nginx.conf": HTTP % "include sites-enabled/*;", "/repo/nginx/sites-enabled/shop": site}
    severe = [risk for risk in found(files, "", "/repo") if str(risk.severity) != "note"]
    assert [(risk.rule, risk.message) for risk in severe] == [("W502-001", 'unexpected "}"')]
    files["/repo/nginx/sites-enabled/shop"] = site.removesuffix("}\n")
    assert _names(files) == {"W502-006"}


@pytest.mark.parametrize(("address", "is_told"), [("80", False), ("0.0.0.0:80", False), ("[::]:80", True)])
def test_only_an_address_of_ipv6_can_take_the_port_of_ipv4(address: str, is_told: bool) -> None:
    text = HTTP % f"server {{ listen 80; server_name a; }}\nserver {{ listen {address} default_server ipv6only=off; }}"
    assert ("W502-163" in _names({"/repo/nginx.conf": text})) == is_told


@pytest.mark.parametrize(("last", "is_told"), [("proxy_pass", False), ("fastcgi_pass", True)])
def test_of_two_pass_directives_the_last_one_holds(last: str, is_told: bool) -> None:
    passes = {"proxy_pass": "proxy_pass http://app:80;", "fastcgi_pass": "fastcgi_pass app:80;"}
    lines = sorted(passes, key=lambda name: name == last)
    text = HTTP % f"server {{ location / {{ {' '.join(passes[name] for name in lines)} }} }}"
    assert ("W502-206" in _notes({"/repo/nginx.conf": text})) == is_told
    assert "W502-199" in {risk.rule for risk in found({"/repo/nginx.conf": text}, "", "/repo")}


SHORT = "location ~ /box/([0-9]+) { set $port $1; proxy_pass http://127.0.0.1:$port/; }"
LONG = "location ~ /box/([0-9]+)/(.*) { set $port $1; proxy_pass http://127.0.0.1:$port/$2; }"


@pytest.mark.parametrize(("places", "is_told"), [(LONG + SHORT, False), (SHORT + LONG, True), (SHORT, True)])
def test_an_expression_after_one_that_takes_the_rest_has_one_path(places: str, is_told: bool) -> None:
    assert (
        "W502-111" in {risk.rule for risk in found({"/repo/nginx.conf": HTTP % f"server {{ {places} }}"}, "", "/repo")}
    ) == is_told


@pytest.mark.parametrize(
    ("place", "file", "is_told"),
    [("/a", "proxy.inc", False), ("/ws", "proxy.inc", True), ("/a/socket.io/", "proxy.inc", True), ("/a", "websocket.inc", True)],
)
def test_headers_in_a_file_for_all_routes_show_no_websockets(place: str, file: str, is_told: bool) -> None:
    headers = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection keep-alive;"
    text = HTTP % f"server {{ location {place} {{ include {file}; proxy_pass http://127.0.0.1:1; }} }}"
    assert ("W502-052" in _names({"/repo/nginx.conf": text, f"/repo/{file}": headers})) == is_told


@pytest.mark.parametrize(("place", "is_told"), [("/api/", False), ("/socket.io/", True)])
@pytest.mark.parametrize("value", ["keep-alive", '""'])
def test_headers_alone_make_no_location_for_websockets(place: str, value: str, is_told: bool) -> None:
    headers = f"proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection {value};"
    text = HTTP % f"server {{ location {place} {{ {headers} proxy_pass http://127.0.0.1:1; }} }}"
    assert ("W502-052" in _names({"/repo/nginx.conf": text})) == is_told
    short = text.replace(f"Connection {value}", "Connection upgrade").replace("proxy_pass", "proxy_read_timeout 10s; proxy_pass")
    assert ("W502-053" in _names({"/repo/nginx.conf": short})) == is_told


@pytest.mark.parametrize(
    ("script", "is_told"),
    [
        ('sed -i \\\n  "s/shop.test/$NAME/" /etc/nginx/nginx.conf', False),
        ("envsubst < nginx.conf > /etc/nginx/nginx.conf", False),
        ("# sed nginx.conf", True),
        ("sed -i s/a/b/ /etc/nginx/other.conf", True),
    ],
)
@pytest.mark.parametrize("name", ["entrypoint.sh", "Dockerfile"])
def test_a_file_that_a_script_changes_proves_nothing(script: str, name: str, is_told: bool) -> None:
    text = HTTP % "server { listen 80; proxy_read_timeout soon; }"
    files = {"/repo/nginx.conf": text, f"/repo/docker/{name}": f"FROM nginx\nRUN {script}\n" if name == "Dockerfile" else script}
    if name == "Dockerfile" and is_told and script.startswith("#"):
        files[f"/repo/docker/{name}"] = f"FROM nginx\n{script}\n"
    assert ("W502-160" in _names(files)) == is_told


@pytest.mark.parametrize(
    ("home", "is_told"), [("deploy", True), ("tests/data", False), (".docker/nginx", True), (".cache", False)]
)
def test_files_of_tests_get_notes_and_hidden_directories_of_deployments_are_read(home: str, is_told: bool) -> None:
    text = HTTP % "server { listen 80; proxy_read_timeout soon; }"
    assert ("W502-160" in _names({f"/repo/{home}/nginx.conf": text})) == is_told


def test_after_a_brace_too_many_only_that_is_told() -> None:
    text = HTTP % "server { listen 80; }\n}\nserver { listen 80 ssl; location / { proxy_pass http://0.0.0.0:1; } }"
    assert _names({"/repo/nginx.conf": text}) == {"W502-001"}


@pytest.mark.parametrize("socket", ["mode 660 level admin", "mode 660"])
def test_a_program_may_fill_an_empty_backend(socket: str) -> None:
    text = (
        f"global\n stats socket /run/haproxy.sock {socket}\ndefaults\n mode http\n timeout connect 5s\n timeout client 5s\n"
        " timeout server 5s\nfrontend web\n bind :80\n default_backend app\nbackend app\n"
    )
    assert not _names({"/repo/haproxy.cfg": text})
    assert "W502-308" in _notes({"/repo/haproxy.cfg": text})


@pytest.mark.parametrize(
    ("place", "is_warned"),
    [
        ("nginx", True),
        ("docs/nginx", False),
        ("Examples/ha", False),
        ("app/samples", False),
        ("documents", True),
    ],
)
def test_what_stands_in_documentation_is_a_note(place: str, is_warned: bool) -> None:
    text = HTTP % "server { listen 80; location / { proxy_pass http://0.0.0.0:1; } }"
    assert ("W502-028" in _names({f"/repo/{place}/nginx.conf": text})) == is_warned
    assert ("W502-028" in _notes({f"/repo/{place}/nginx.conf": text})) != is_warned


@pytest.mark.parametrize(("name", "is_warned"), [("site.conf", True), ("site-example.conf", False), ("nginx.sample.conf", False)])
def test_a_file_to_copy_and_adapt_gives_notes(name: str, is_warned: bool) -> None:
    text = HTTP % "server { listen 80; location / { proxy_pass http://0.0.0.0:1; } }"
    assert ("W502-028" in _names({f"/repo/nginx/{name}": text})) == is_warned


@pytest.mark.parametrize(("location", "is_warned"), [("/", False), ("/api/", False), ("/ws/", True), ("/socket.io/", True)])
def test_an_upgrade_header_alone_shows_no_websockets(location: str, is_warned: bool) -> None:
    text = HTTP % (
        f"server {{ location {location} {{ proxy_set_header Upgrade $http_upgrade; proxy_pass http://127.0.0.1:1; }} }}"
    )
    assert ("W502-052" in _names({"/repo/nginx.conf": text})) == is_warned
    assert ("W502-052" in _notes({"/repo/nginx.conf": text})) != is_warned


@pytest.mark.parametrize(("ports", "is_told"), [("", False), (":21", True)])
def test_servers_for_the_clients_port_have_no_check(ports: str, is_told: bool) -> None:
    text = (
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 5s\n timeout server 5s\nlisten data\n bind :50000-50010\n"
        f" server a 192.0.2.1{ports}\n server b 192.0.2.2{ports}\n"
    )
    assert ("W502-303" in _names({"/repo/haproxy.cfg": text})) == is_told


@pytest.mark.parametrize(("listen", "is_told"), [("unix:/run/onion.sock", False), ("80", True)])
def test_the_names_of_an_address_with_one_server_are_not_hashed(listen: str, is_told: bool) -> None:
    servers = f"server {{ listen 80; server_name a; }} server {{ listen {listen}; server_name {'a' * 56}.onion; }}"
    assert ("W502-173" in _names({"/repo/nginx.conf": HTTP % servers})) == is_told


def test_settings_of_akka_are_no_configuration() -> None:
    text = 'akka.http {\n  server {\n    idle-timeout = 10 s\n  }\n}\nhttp-server {\n  host = "0.0.0.0"\n}\n'
    assert given({"/repo/src/application.conf": text}, "", "/repo").texts == {}


def test_the_http_block_may_be_in_a_file_of_its_own() -> None:
    files = {
        "/repo/nginx/nginx.conf": "events {}\ninclude /etc/nginx/http.conf;\n",
        "/repo/nginx/http.conf": "http { server { } }",
    }
    assert _names(files) == set()


@pytest.mark.parametrize(
    ("name", "is_told"), [("s3.amazonaws.com", True), ("ec2-192-0-2-1.compute.amazonaws.com", False), ("shop.fly.dev", False)]
)
def test_platforms_that_keep_their_addresses_get_a_note(name: str, is_told: bool) -> None:
    text = HTTP % f"server {{ location / {{ proxy_pass http://{name}; proxy_set_header Host {name}; }} }}"
    assert ("W502-023" in _names({"/repo/nginx.conf": text})) == is_told


@pytest.mark.parametrize(("name", "is_told"), [("api", False), ("api.example.com", True)])
def test_a_container_may_speak_plain_http_on_443(name: str, is_told: bool) -> None:
    text = HTTP % f"server {{ location / {{ proxy_pass http://{name}:443; }} }}"
    assert ("W502-031" in _names({"/repo/nginx.conf": text})) == is_told


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/repo/php-fpm/www.conf", "[www]\nlisten = {listen}\npm = {pm}\npm.max_children = 5\n"),
        ("/repo/app.service", "[Service]\nStartLimitBurst={listen}\nExecStart=/usr/bin/app {pm}\n"),
    ],
)
def test_a_pool_or_unit_that_a_program_fills_in_is_not_checked(path: str, text: str) -> None:
    filled = given({path: text.format(listen="9000", pm="dynamic")}, "", "/repo")
    assert any(each.pools or each.units for each in filled.deployments)
    template = given({path: text.format(listen="{{ port }}", pm="{% if a %}dynamic{% endif %}")}, "", "/repo")
    assert not any(each.pools or each.units for each in template.deployments)
    assert [gap.source for gap in template.gaps] == [path]


def test_the_format_of_a_docker_command_makes_no_template() -> None:
    unit = "[Service]\nExecStart=/usr/bin/docker ps --format '{{.Names}}'\n"
    assert any(each.units for each in given({"/repo/app.service": unit}, "", "/repo").deployments)


def test_a_zone_that_is_defined_in_the_wrong_place_is_told_once() -> None:
    text = HTTP % "server { listen 80; limit_req_zone $binary_remote_addr zone=a:1m rate=1r/s; limit_req zone=a; }"
    assert _names({"/repo/nginx.conf": text}) == {"W502-006"}


@pytest.mark.parametrize(("name", "is_template"), [("#.#.#.#", True), ("#", True), ("10.0.0.1", False)])
def test_a_number_sign_in_the_place_of_a_name_is_a_placeholder(name: str, is_template: bool) -> None:
    text = HTTP % f"server {{ listen 80;\n server_name {name};\n root /srv/www; }}"
    assert ("/repo/nginx.conf" not in given({"/repo/nginx.conf": text}, "", "/repo").texts) == is_template


def test_a_file_of_a_copied_root_is_not_included_by_another_name() -> None:
    main = HTTP % "include /etc/angie/http-conf.d/*.conf; include /etc/angie/custom/http-conf.d/*.conf;"
    files = {"/repo/rootfs/etc/angie/angie.conf": main, "/repo/rootfs/etc/angie/http-conf.d/common.conf": "sendfile on;"}
    assert _names(files) == set()


@pytest.mark.parametrize(("second", "is_told"), [("/srv/proxy/custom/conf.d", False), ("/srv/proxy/conf.d", True)])
def test_one_file_is_not_found_by_two_names(second: str, is_told: bool) -> None:
    main = HTTP % f"include /srv/proxy/conf.d/*.conf; include {second}/*.conf;"
    files = {"/repo/proxy/nginx.conf": main, "/repo/proxy/conf.d/common.conf": "sendfile on;"}
    assert ("W502-166" in _names(files)) == is_told


@pytest.mark.parametrize(
    ("path", "message"), [("conf.d/default.conf", '"http" is not allowed here'), ("nginx.conf", "there is no events block")]
)
def test_an_http_block_in_a_directory_of_sites_needs_no_events(path: str, message: str) -> None:
    risks = found({f"/repo/nginx/{path}": "http { server { listen 80; root /srv; } }"}, "", "/repo")
    assert [risk.message.startswith(message) for risk in risks if risk.rule == "W502-212"] == [True]


@pytest.mark.parametrize(("name", "is_told"), [("nginx.conf", False), ("app.conf", True)])
def test_a_main_file_beside_what_it_includes_does_not_include_itself(name: str, is_told: bool) -> None:
    main = HTTP % "include /etc/nginx/conf.d/*.conf;"
    files = {f"/repo/nginx/conf.d/{name}": main, "/repo/nginx/nginx.conf": main}
    assert ("W502-006" in _names(files)) == is_told


@pytest.mark.parametrize(("first", "is_told"), [("@app", False), ("@other", True)])
def test_a_jump_to_a_named_location_names_it_twice(first: str, is_told: bool) -> None:
    places = f"location / {{ try_files {first} @app; }} location @app {{ proxy_pass http://127.0.0.1:1; }}"
    assert ("W502-199" in _names({"/repo/nginx.conf": HTTP % f"server {{ listen 80; {places} }}"})) == is_told


@pytest.mark.parametrize(("comment", "is_told"), [("#...", False), ("  # …", False), ("# and so on", True)])
def test_an_abridged_file_lacks_what_it_leaves_out(comment: str, is_told: bool) -> None:
    text = f"{comment}\nhttp {{ server {{ listen 80; root /srv; }} }}"
    assert ("W502-212" in _names({"/repo/nginx.conf": text})) == is_told


@pytest.mark.parametrize(("values", "is_told"), [("", False), ("pm = static", False), ("pm = statik\npm.max_children = 4", True)])
def test_the_rest_of_a_pool_may_be_in_the_file_of_the_image(values: str, is_told: bool) -> None:
    files = {"/repo/php/php-fpm.d/zzz-www.conf": f"[www]\nlisten = /run/php-fpm.sock\n{values}\n"}
    assert ("W502-140" in _names(files)) == is_told
    assert ("W502-140" in _notes(files)) != is_told


@pytest.mark.parametrize(("module", "is_told"), [("ngx_http_js_module", True), ("ngx_http_brotli_filter_module", False)])
def test_a_module_of_others_may_know_a_directive(module: str, is_told: bool) -> None:
    text = f"load_module modules/{module}.so;\n" + HTTP % "server { listen 80; proxy_busy_buffer_size 8k; }"
    assert ("W502-002" in _names({"/repo/nginx.conf": text})) == is_told


def _severities(files: dict[str, str], rule: str) -> list[str]:
    return [str(risk.severity) for risk in found(files, "", "/repo") if risk.rule == rule]


@pytest.mark.parametrize(
    ("rule", "block", "part"),
    [
        ("W502-166", "server { listen 80; root /a; %s }", "root /b;"),
        ("W502-014", "server { listen 80; location /a { return 204; } %s }", "location /a { return 200; }"),
        ("W502-162", "server { listen 80; %s }", "listen 80;"),
        ("W502-006", "server { listen 80; location /a { %s } }", "listen 81;"),
    ],
)
def test_what_an_include_brings_is_a_warning_in_a_repository(rule: str, block: str, part: str) -> None:
    included = {"/repo/nginx.conf": HTTP % (block % "include snippets/part.conf;"), "/repo/snippets/part.conf": part + "\n"}
    assert _severities(included, rule) == ["warning"]
    assert _severities({"/repo/nginx.conf": HTTP % (block % part)}, rule) == ["error"]


@pytest.mark.parametrize(
    ("second", "severity"), [("other/b.conf", "warning"), ("sites-enabled/b.conf", "error"), ("c/b.conf", "note")]
)
def test_a_conflict_of_files_is_as_certain_as_their_directories(second: str, severity: str) -> None:
    first = {"other/b.conf": "sites-enabled/a.conf", "sites-enabled/b.conf": "sites-enabled/a.conf"}.get(second, "c/a.conf")
    files = {f"/repo/{name}": "upstream app { server 127.0.0.1:1; }\n" for name in (first, second)}
    files["/repo/nginx.conf"] = HTTP % f"include {first};\ninclude {second};"
    assert _severities(files, "W502-013") == [severity]


@pytest.mark.parametrize("passed", ["https://s3.example.com/$1", "$arg_scheme://$1.s3.example.com/x"])
def test_another_site_gets_its_own_name(passed: str) -> None:
    inner = "location ~ ^/files/(.+)$ { resolver 127.0.0.1; proxy_set_header X-Real-IP $remote_addr; proxy_pass %s; }"
    outer = HTTP % f"server {{ listen 80; proxy_set_header Host $host; {inner} }}"
    assert _severities({"/repo/nginx.conf": outer % passed}, "W502-055") == ["note"]
    assert _severities({"/repo/nginx.conf": outer % "http://127.0.0.1:3000"}, "W502-055") == ["warning"]


@pytest.mark.parametrize(("include", "severity"), [("conf.d/*.conf", "note"), ("conf.d/java.conf", "warning")])
def test_a_fragment_in_a_directory_may_be_for_another_block(include: str, severity: str) -> None:
    part = "location ~ \\.jsp$ { proxy_pass http://127.0.0.1:8080; }\n"
    files = {"/repo/nginx/nginx.conf": HTTP % f"include {include};", "/repo/nginx/conf.d/java.conf": part}
    assert _severities(files, "W502-006") == [severity]


@pytest.mark.parametrize(("own", "is_told"), [("location ^~ /502.html { root /srv; }", False), ("", True)])
def test_an_error_page_with_its_own_location_is_not_fetched_from_the_backend(own: str, is_told: bool) -> None:
    body = f"error_page 404 = @app; error_page 502 /502.html; {own} location @app {{ proxy_pass http://127.0.0.1:3000; }}"
    text = HTTP % f"server {{ listen 80; {body} location / {{ proxy_pass http://127.0.0.1:3000; }} }}"
    assert ("W502-116" in _names({"/repo/nginx.conf": text})) == is_told
