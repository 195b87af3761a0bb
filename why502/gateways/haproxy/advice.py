"""What to do about a cause in HAProxy's words. Source: doc/configuration.txt, 3.2 (maxconn), 4.2 and 5.2."""

ADVICE = {
    "all-upstreams-down": (
        "Fix the servers. If short failures remove all of them together, use a larger `fall`, or add a `backup` server."
    ),
    "client-closed-request": "Make the backend faster, or make the caller's timeout longer than `timeout server`.",
    "connection-lost": "Set `option srvtcpka`, with a `srvtcpka-idle` shorter than the firewall's idle timeout.",
    "ephemeral-ports-exhausted": (
        "Keep connections open: `http-reuse safe`, without `option httpclose` and `option http-server-close`. Otherwise add "
        "servers, or addresses with `source`."
    ),
    "keepalive-race": (
        "Make the backend's idle timeout longer than the time for which HAProxy keeps idle connections (`pool-purge-delay`), or "
        "set `http-reuse never`."
    ),
    "proxy-bind-failed": "Set `source` to an address of this machine, or remove it.",
    "proxy-config-not-loaded": "Run `haproxy -c -f /etc/haproxy/haproxy.cfg`, then `systemctl reload haproxy`.",
    "rate-limited": (
        "Raise the limit of the rule that denies them if real users are affected. Return 429 instead of 503 (`deny_status 429`)."
    ),
    "stale-dns": "Immediate fix: reload. Permanent fix: a `resolvers` section, and `resolvers NAME` on the server line.",
    "tls-client-certificate-required": "Set `crt FILE` on the server line: a PEM file with the certificate and its key.",
    "tls-handshake-failed": "Set `sni str(NAME)` on the server line, or a version that both support (`ssl-min-ver`).",
    "tls-verify-failed": (
        "Expired: renew it. Wrong name: set `verifyhost` to a name in the certificate. Unknown issuer: add the issuer to the "
        "`ca-file`."
    ),
    "too-many-open-files": (
        "Raise LimitNOFILE= of the unit to more than twice the global `maxconn`, or lower `maxconn`: a proxied connection takes "
        "two descriptors."
    ),
    "websocket-idle-timeout": "Send pings from the application at a shorter interval, or set a longer `timeout tunnel`.",
    "worker-connections-exhausted": "Raise the global `maxconn`, and LimitNOFILE= of the unit to more than twice that.",
    "wrong-host-header": "Set the name that the backend expects with `http-request set-header Host NAME`.",
    "wrong-protocol": (
        "Set `ssl` on the server line for a TLS port, and remove it for plain HTTP. Use `proto h2` for HTTP/2 without TLS, and "
        "`use-fcgi-app` with `proto fcgi` for FastCGI."
    ),
}
