"""HAProxy with cookies in front of Fastify and Koa, and Varnish with grace in front of Thin."""

from __future__ import annotations

from why502.lab.stacks.stack import Calm, Fault, Route, Stack, causes

OWN_ERROR = causes("application-error", "upstream-error-status")
HANGS = causes("workers-exhausted", "backend-hung", "backend-too-slow")

SHOP_JS = """\
const fastify = require('fastify')({ logger: true });
const fs = require('fs');
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
fastify.get('/health', async () => fs.existsSync('/srv/market/health.json') ? { status: 'up' } : 'ok');
fastify.get('/', async (request, reply) => reply.type('text/html').send('market '.repeat(100)));
fastify.get('/report', async () => { await wait(4000); return 'report'; });
fastify.listen({ port: Number(process.env.PORT), host: '127.0.0.1' });
"""
API_JS = """\
const Koa = require('koa');
const fs = require('fs');
const app = new Koa();
app.use(async (ctx) => {
  if (ctx.path === '/api/price') {
    const prices = JSON.parse(fs.readFileSync('/srv/market/prices.json'));
    ctx.body = { price: prices.today.value };
  } else if (ctx.path === '/api/feed') {
    ctx.respond = false;
    ctx.res.writeHead(200, { 'Content-Type': 'text/csv', 'Content-Length': 500000 });
    ctx.res.write('row,'.repeat(20000));
    if (fs.existsSync('/srv/market/feed.csv')) ctx.res.end('row,'.repeat(105000));
    else setTimeout(() => ctx.res.destroy(), 100);
  } else ctx.body = { stock: Array.from({ length: 50 }, (_, n) => n) };
});
app.listen(Number(process.env.PORT), '127.0.0.1');
"""
NODE_UNIT = """[Unit]
Description=Market %i
After=network.target

[Service]
User=www-data
WorkingDirectory=/srv/market
Environment=PORT=%i NODE_ENV=production NODE_PATH=/opt/node/node_modules
ExecStart=/usr/bin/node /srv/market/{}.js
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target
"""
MARKET_CFG = """\
global
    log /dev/log local0
    chroot /var/lib/haproxy
    stats socket /run/haproxy/admin.sock mode 660 level admin
    user haproxy
    group haproxy
    maxconn 2000

defaults
    log global
    mode http
    option httplog
    option dontlognull
    option redispatch
    retries 3
    timeout connect 3s
    timeout client 30s
    timeout server 20s

frontend web
    bind :80
    bind :443 ssl crt /etc/haproxy/certs/
    acl api path_beg /api
    use_backend api if api
    default_backend shop

backend shop
    balance roundrobin
    cookie SRV insert indirect nocache
    option httpchk GET /health
    http-check expect status 200
    default-server inter 1s fall 2 rise 2
    server a 127.0.0.1:4001 check cookie a
    server b 127.0.0.1:4002 check cookie b

backend api
    option http-server-close
    server koa 127.0.0.1:4100 check inter 1s
"""
MARKET_SETUP = """
mkdir -p /etc/haproxy/certs; cd /etc/haproxy/certs
openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out crt -days 90 -subj /CN=market.example 2>/dev/null; cat crt key > market.pem; rm crt key
echo '{"today": {"value": 3}}' > /srv/market/prices.json; touch /srv/market/feed.csv
systemctl enable --now shop@4001 shop@4002 api@4100
for p in 4001/health 4002/health 4100/api/stock; do until curl -fs -o /dev/null http://127.0.0.1:$p; do sleep 0.1; done; done
systemctl enable --now haproxy
"""
MARKET = "market.example"
SHOP_B = frozenset({"127.0.0.1:4002", "shop/b", "shop"})
SHOP_AT = frozenset({"127.0.0.1:4001", "127.0.0.1:4002", "shop/a", "shop/b", "shop"})
KOA_AT = frozenset({"127.0.0.1:4100", "api/koa", "api"})
CFG = "/etc/haproxy/haproxy.cfg; systemctl reload haproxy"
MARKET_FAULTS = (
    Fault(
        id="market-forced-persistence",
        happens="`option persist` replaces `option redispatch` for the baskets' sake; b is stopped, and who has its cookie is sent to it all the same",
        steps=f"sed -i 's/option redispatch/option persist/' {CFG}; systemctl stop shop@4002",
        routes=(Route(path="/", host=MARKET, weight=5, headers={"Cookie": "SRV=b"}),),
        failures=20,
        expects=causes("backend-not-running"),
        targets=SHOP_B,
    ),
    Fault(
        id="market-h2-to-koa",
        happens="`proto h2` is added to the API's server after a talk on HTTP/2; Koa's plain server speaks HTTP/1.1 only",
        steps=f"sed -i 's/4100 check inter 1s/4100 proto h2/' {CFG}",
        expects=causes("wrong-protocol"),
        partly=causes("invalid-response", "premature-close", "connection-reset"),
        targets=KOA_AT,
    ),
    Fault(
        id="market-health-is-json",
        happens="`http-check expect string ok` was there for years; the new release answers its health as JSON (status: up), HAProxy takes both servers out",
        steps=f"sed -i 's/http-check expect status 200/http-check expect string ok/' {CFG}; sleep 2; touch /srv/market/health.json",
        expects=causes("health-check-misconfigured"),
        partly=causes("all-upstreams-down"),
        targets=SHOP_AT,
    ),
    Fault(
        id="market-source-address",
        happens="`source 203.0.113.99` of the old machine is in the copied configuration; no connection to the API can be made from it",
        steps=f"sed -i 's/4100 check inter 1s/4100 source 203.0.113.99/' {CFG}",
        expects=causes("proxy-bind-failed"),
        targets=KOA_AT,
    ),
    Fault(
        id="market-global-maxconn",
        happens="maxconn 6 (of a test machine) is in the global section; reports of 4 s hold all of it, everybody else waits to be accepted",
        steps="sed -i 's/maxconn 2000/maxconn 6/' /etc/haproxy/haproxy.cfg; systemctl restart haproxy",
        routes=(Route(path="/report", host=MARKET, weight=20),),
        users=36,
        patience_s=8.0,
        failures=40,
        expects=causes("worker-connections-exhausted", "upstream-connection-limit"),
    ),
    Fault(
        id="market-empty-pem",
        happens="the renewal hook concatenates a certificate that is not there: market.pem is empty, HAProxy does not start after the nightly restart",
        steps=": > /etc/haproxy/certs/market.pem; systemctl restart haproxy || true",
        expects=causes("proxy-config-invalid"),
        partly=causes("proxy-not-running"),
    ),
    Fault(
        id="market-prices-file",
        happens="the nightly job leaves an empty prices.json; Koa raises a SyntaxError on that page and answers 500",
        steps=": > /srv/market/prices.json",
        routes=(Route(path="/api/price", host=MARKET, weight=6),),
        expects=OWN_ERROR,
        targets=KOA_AT,
    ),
    Fault(
        id="market-timeout-server",
        happens="`timeout server` is 2 s after a workshop on latency; reports need 4 s (504)",
        steps=f"sed -i 's/timeout server 20s/timeout server 2s/' {CFG}",
        routes=(Route(path="/report", host=MARKET, weight=6),),
        expects=causes("proxy-timeout-too-short", "backend-too-slow"),
        targets=SHOP_AT,
    ),
    Fault(
        id="market-block-list",
        happens="a list of bad networks, updated each night, contains 203.0.113.0/24 by mistake; HAProxy denies it with 503 as configured",
        steps="echo 203.0.113.0/24 > /etc/haproxy/blocked.lst; sed -i 's#acl api path_beg /api#http-request deny deny_status 503 if { src -f /etc/haproxy/blocked.lst }\\n    acl api path_beg /api#' "
        + CFG,
        expects=causes("denied-by-rule"),
        partly=causes("maintenance-response"),
    ),
    Fault(
        id="market-feed-cut",
        happens="the feed's source is gone: Koa announces 500 kB, sends 80 kB and destroys the connection",
        steps="rm /srv/market/feed.csv",
        routes=(Route(path="/api/feed", host=MARKET, weight=6),),
        expects=causes("truncated-response"),
        partly=causes("connection-reset", "premature-close", "application-error"),
        targets=KOA_AT,
    ),
)

SCHOOL_RU = """\
File.open('/srv/school/log/auth.log', 'a').close
run lambda { |env|
  text = {'Content-Type' => 'text/plain'}
  case env['PATH_INFO']
  when '/health'
    if File.exist?('/srv/school/login-for-all') then [401, text, ['log in']]
    elsif File.exist?("/srv/school/drain-#{env['SERVER_PORT']}") then [503, text, ['draining']]
    else [200, text, ['ok']] end
  when '/login'
    File.open('/srv/school/log/auth.log', 'a') { |log| log.puts "#{Time.now.strftime('%Y-%m-%d %H:%M:%S')} login failed for guest from #{env['REMOTE_ADDR']}" }
    [403, text, ['no']]
  when '/marks/album' then [200, text.merge('Set-Cookie' => 'state=' + 'x' * 9000), ['album']]
  when '/marks/map' then [200, text, ['x' * 6_000_000]]
  when '/marks/essay' then sleep 9; [200, text, ['essay']]
  when '/marks/substitute' then raise NoMethodError, "undefined method `teacher' for nil:NilClass"
  else [200, text, ['school ' * 100]]
  end
}
"""
SCHOOL_UNIT = """[Unit]
Description=School %i (Thin)
After=network.target

[Service]
User=www-data
WorkingDirectory=/srv/school
EnvironmentFile=/etc/default/school
ExecStart=/usr/bin/thin start -R /srv/school/config.ru -e production -a ${ADDRESS} -p %i
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target
"""
SCHOOL_VCL = """\
vcl 4.1;
import directors;
probe health { .url = "/health"; .interval = 1s; .timeout = 2s; .window = 4; .threshold = 2; .initial = 2; }
backend one { .host = "203.0.113.10"; .port = "3101"; .probe = health; .connect_timeout = 2s; .first_byte_timeout = 6s; }
backend two { .host = "203.0.113.10"; .port = "3102"; .probe = health; .connect_timeout = 2s; .first_byte_timeout = 6s; }
sub vcl_init {
    new pool = directors.round_robin();
    pool.add_backend(one);
    pool.add_backend(two);
}
sub vcl_recv {
    set req.backend_hint = pool.backend();
    # here
    if (req.url ~ "^/(marks|login)") { return (pass); }
}
sub vcl_backend_response {
    set beresp.ttl = 1s;
    set beresp.grace = 6h;
}
"""
VARNISH_DROP = """\
[Service]
ExecStart=
ExecStart=/usr/sbin/varnishd -j unix,user=vcache -F -a :80 -T localhost:6082 -f /etc/varnish/default.vcl -S /etc/varnish/secret -s malloc,64m
"""
SCHOOL_SETUP = """
mkdir -p /srv/school/log; chown www-data: /srv/school/log
systemctl daemon-reload
systemctl enable --now school@3101 school@3102
for p in 3101 3102; do until curl -fs -o /dev/null http://203.0.113.10:$p/health; do sleep 0.1; done; done
systemctl enable --now varnish
until curl -s -o /dev/null http://127.0.0.1/; do sleep 0.1; done
systemctl enable --now varnishncsa
"""
SCHOOL = "school.example"
SCHOOL_AT = frozenset({"203.0.113.10:3101", "203.0.113.10:3102", "one", "two", "pool", "boot.one", "boot.two"})
MARKS = Route(path="/marks", host=SCHOOL, weight=4)
VARNISHD = "/etc/systemd/system/varnish.service.d/port.conf; systemctl daemon-reload; systemctl restart varnish; until curl -s -o /dev/null -m 2 http://127.0.0.1/; do sleep 0.1; done; systemctl restart varnishncsa"
VCL = "/etc/varnish/default.vcl; systemctl reload varnish"
SCHOOL_FAULTS = (
    Fault(
        id="school-stopped-behind-grace",
        happens="both instances are stopped by a script of the holidays; the grace of six hours serves the pages that were cached, marks answer 503",
        steps="systemctl stop school@3101 school@3102",
        expects=causes("backend-not-running"),
        partly=causes("all-upstreams-down"),
        targets=SCHOOL_AT,
    ),
    Fault(
        id="school-restarts-for-ever",
        happens="a new VCL restarts requests without a token to fetch one and never sets it: too many restarts, 503",
        steps=f"sed -i 's/# here/if (req.url ~ \"^.marks\" \\&\\& !req.http.X-Token) {{ return (restart); }}/' {VCL}",
        expects=causes("rewrite-cycle"),
    ),
    Fault(
        id="school-maintenance-left",
        happens="the maintenance of the weekend is still in the VCL on Monday: synth(503) for the marks",
        steps=f'sed -i \'s/# here/if (req.url ~ "^.marks") {{ return (synth(503, "Maintenance")); }}/\' {VCL}',
        expects=causes("maintenance-response"),
    ),
    Fault(
        id="school-storage-too-small",
        happens="-s malloc,1m and Transient=malloc,1m were set on the small machine; the map of 6 MB finds no storage, users get 503 or a map that is cut",
        steps=f"sed -i 's/-s malloc,64m/-s malloc,1m -s Transient=malloc,1m/' {VARNISHD}",
        routes=(Route(path="/marks/map", host=SCHOOL, weight=4),),
        failures=45,
        expects=causes("cache-storage-full"),
        partly=causes("truncated-response", "shared-memory-exhausted"),
    ),
    Fault(
        id="school-album-header",
        happens="an album keeps its state in one cookie, which has grown to 9 kB; Varnish's http_resp_hdr_len is 8 kB: 503",
        steps="true",
        routes=(Route(path="/marks/album", host=SCHOOL, weight=5),),
        expects=causes("response-header-too-big"),
        partly=causes("invalid-response", "proxy-workspace-exhausted"),
        targets=SCHOOL_AT,
    ),
    Fault(
        id="school-health-wants-login",
        happens="the new release wants a log-in everywhere, /health included: 401, the probes call both instances sick",
        steps="touch /srv/school/login-for-all",
        expects=causes("health-check-misconfigured"),
        partly=causes("all-upstreams-down"),
        targets=SCHOOL_AT,
    ),
    Fault(
        id="school-bound-to-loopback",
        happens="a security review binds the instances to 127.0.0.1; Varnish asks the machine's own address",
        steps="echo ADDRESS=127.0.0.1 > /etc/default/school; systemctl restart school@3101 school@3102; until curl -fs -o /dev/null http://127.0.0.1:3102/health; do sleep 0.1; done",
        expects=causes("wrong-address"),
        partly=causes("backend-not-running", "all-upstreams-down"),
        targets=SCHOOL_AT,
    ),
    Fault(
        id="school-substitute-raises",
        happens="a teacher left the school; the page of substitutions raises NoMethodError and is answered 500",
        steps="true",
        routes=(Route(path="/marks/substitute", host=SCHOOL, weight=5),),
        expects=OWN_ERROR,
        targets=SCHOOL_AT,
    ),
    Fault(
        id="school-fail2ban-bans-varnish",
        happens="the application logs the address of its peer in place of X-Forwarded-For; fail2ban counts failed log-ins and bans Varnish's own address",
        steps="printf '[Definition]\\nfailregex = login failed for .* from <HOST>$\\n' > /etc/fail2ban/filter.d/school.conf; "
        "printf '[DEFAULT]\\nignoreself = false\\nignoreip =\\n[sshd]\\nenabled = false\\n[school]\\nenabled = true\\nfilter = school\\nbackend = polling\\nlogpath = /srv/school/log/auth.log\\nport = 3101,3102\\nmaxretry = 4\\nbanaction = nftables-multiport\\n' > /etc/fail2ban/jail.d/school.conf; "
        "systemctl start fail2ban; until fail2ban-client status school >/dev/null 2>&1; do sleep 0.2; done; for n in $(seq 12); do curl -s -o /dev/null -X POST http://203.0.113.10/login; sleep 0.2; done",
        expects=causes("connect-rejected", "network-policy-denies"),
        partly=causes("backend-not-running", "all-upstreams-down"),
        targets=SCHOOL_AT,
    ),
    Fault(
        id="school-essay-blocks",
        happens="Thin serves one request at a time; an essay takes 9 s to check, and marks wait behind it until Varnish gives up (first_byte_timeout 6 s)",
        steps="true",
        routes=(Route(path="/marks/essay", host=SCHOOL, weight=3),),
        expects=HANGS,
        partly=causes("all-upstreams-down", "health-check-misconfigured"),
        targets=SCHOOL_AT,
    ),
)

STACKS = (
    Stack(
        name="market",
        about="HAProxy with cookies for persistence in front of two processes of Fastify and one of Koa",
        files={
            "/srv/market/shop.js": SHOP_JS,
            "/srv/market/api.js": API_JS,
            "/etc/systemd/system/shop@.service": NODE_UNIT.format("shop"),
            "/etc/systemd/system/api@.service": NODE_UNIT.format("api"),
            "/etc/haproxy/haproxy.cfg": MARKET_CFG,
        },
        setup=MARKET_SETUP,
        routes=(Route(host=MARKET, weight=3), Route(path="/api/stock", host=MARKET, weight=3)),
        faults=MARKET_FAULTS,
        calms=(
            Calm(
                id="market-one-by-one",
                happens="b is set to maintenance over HAProxy's socket, restarted and set ready again; HAProxy reloads, scanners get 404, reports of 4 s",
                steps="say() { python3 -c \"import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect('/run/haproxy/admin.sock'); s.sendall(sys.argv[1].encode()+b'\\n'); s.recv(999)\" \"$1\"; }; "
                "say 'set server shop/b state maint'; sleep 5; systemctl restart shop@4002; until curl -fs -o /dev/null http://127.0.0.1:4002/health; do sleep 0.1; done; say 'set server shop/b state ready'; "
                "for p in wp-login.php .env; do curl -s -o /dev/null http://127.0.0.1/$p; done; systemctl reload haproxy",
                routes=(Route(path="/report", host=MARKET),),
            ),
            Calm(
                id="market-thursday",
                happens="feeds of 500 kB that users break off, a health check's path is asked by people, a broken TLS hello of a scanner",
                steps="for n in 1 2 3; do python3 -c \"import socket; s=socket.create_connection(('127.0.0.1',443)); s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n'); s.close()\"; curl -sk -o /dev/null https://127.0.0.1/; done",
                routes=(Route(path="/api/feed", host=MARKET), Route(path="/health", host=MARKET)),
                cancels=True,
            ),
        ),
    ),
    Stack(
        name="school",
        about="Varnish with grace and probes in front of two instances of Thin; varnishncsa writes the log",
        files={
            "/srv/school/config.ru": SCHOOL_RU,
            "/etc/default/school": "ADDRESS=203.0.113.10\n",
            "/etc/systemd/system/school@.service": SCHOOL_UNIT,
            "/etc/varnish/default.vcl": SCHOOL_VCL,
            "/etc/systemd/system/varnish.service.d/port.conf": VARNISH_DROP,
        },
        setup=SCHOOL_SETUP,
        routes=(Route(host=SCHOOL, weight=3), MARKS),
        faults=SCHOOL_FAULTS,
        calms=(
            Calm(
                id="school-open-day",
                happens="an instance is drained over its health page for a look at it, and put back; the VCL is reloaded; failed log-ins, scanners",
                steps="touch /srv/school/drain-3102; sleep 6; rm /srv/school/drain-3102; sleep 4; "
                "systemctl reload varnish; for n in 1 2 3; do curl -s -o /dev/null -X POST http://127.0.0.1/login; done",
            ),
        ),
    ),
)
