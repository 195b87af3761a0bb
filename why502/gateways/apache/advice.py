"""What to do about a cause in Apache's words.

Source: the documentation of mod_proxy (worker parameters), mod_ssl (SSLProxy…), and mpm_common.
"""

ADVICE = {
    "all-upstreams-down": (
        "Fix the members. If short failures remove all of them together, use a shorter `retry`, or add a hot standby "
        "(`status=+H`)."
    ),
    "client-closed-request": "Make the backend faster, or make the caller's timeout longer than `ProxyTimeout`.",
    "connection-lost": (
        "Set `keepalive=On` for the worker, with short kernel intervals, and a `ttl` shorter than the firewall's idle timeout."
    ),
    "ephemeral-ports-exhausted": "Keep connections open: remove `disablereuse=On` from the worker. Otherwise add members.",
    "keepalive-race": "Make the backend's idle timeout longer than the worker's `ttl`, or set a shorter `ttl`.",
    "proxy-bind-failed": "Set `ProxySourceAddress` to an address of this machine, or remove it.",
    "proxy-config-not-loaded": "Run `apachectl -t`, then `apachectl graceful`.",
    "stale-dns": ("Immediate fix: reload. Permanent fix: `addressttl=30` for the worker (since 2.4.58), or `disablereuse=On`."),
    "tls-client-certificate-required": ("Set `SSLProxyMachineCertificateFile` to a PEM file with the certificate and its key."),
    "tls-handshake-failed": (
        "Use the name that the backend expects in ProxyPass, or a version that both support (`SSLProxyProtocol`)."
    ),
    "tls-verify-failed": (
        "Expired: renew it. Wrong name: use a name in the certificate in ProxyPass. Unknown issuer: add the issuer to "
        "`SSLProxyCACertificateFile`."
    ),
    "too-many-open-files": "Raise LimitNOFILE= of the unit, or APACHE_ULIMIT_MAX_FILES in envvars.",
    "websocket-idle-timeout": (
        "Send pings from the application at a shorter interval, or set a longer `timeout` for the worker of that route."
    ),
    "websocket-upgrade-missing": (
        "Add `upgrade=websocket` to the ProxyPass of that route (since 2.4.47), or pass it to `ws://` with mod_proxy_wstunnel."
    ),
    "worker-connections-exhausted": "Raise `MaxRequestWorkers`, with `ServerLimit` if necessary.",
    "wrong-host-header": "Set `ProxyPreserveHost On`, or use the name that the backend expects in ProxyPass.",
    "wrong-protocol": (
        "Use `https://` with `SSLProxyEngine On` for a TLS port, `fcgi://` for PHP-FPM, `uwsgi://` for a uwsgi socket, `h2c://` "
        "for HTTP/2 without TLS, and `http://` otherwise."
    ),
}
