"""What to do in Caddy's own words. Source: caddyserver.com/docs, `caddy reload` and the global option `admin`."""

ADVICE = {
    "proxy-config-not-loaded": "Run `caddy reload --config /etc/caddy/Caddyfile`, and read its answer. With `admin off` no "
    "reload works: restart Caddy instead.",
}
