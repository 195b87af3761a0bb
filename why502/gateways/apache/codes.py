"""Apache httpd: the AH codes of mod_proxy and its neighbours (modules/proxy/*.c, modules/ssl/ssl_engine_io.c, server/mpm)."""

from __future__ import annotations

from why502.gateways.codes import Product, code, table
from why502.model.logs import Symptom

CONNECT = {  # by errno, of AH00957 and AH02454; 70007 is httpd's own timeout (apr_errno.h)
    2: Symptom.SOCKET_PATH_MISSING,
    11: Symptom.QUEUE_FULL,
    13: Symptom.CONNECT_DENIED,
    24: Symptom.FILES_EXHAUSTED,
    99: Symptom.NO_LOCAL_PORT,
    101: Symptom.HOST_UNREACHABLE,
    104: Symptom.CONNECT_RESET,
    110: Symptom.CONNECT_TIMED_OUT,
    111: Symptom.CONNECT_REFUSED,
    113: Symptom.HOST_UNREACHABLE,
    70007: Symptom.CONNECT_TIMED_OUT,
}
SOCKET = {  # by errno, of AH00952
    13: Symptom.SOCKET_DENIED,
    23: Symptom.FILES_EXHAUSTED,
    24: Symptom.FILES_EXHAUSTED,
    97: Symptom.SOCKET_DENIED,
}
READ = {  # by errno, of a response header that did not come
    32: Symptom.SEND_FAILED,
    104: Symptom.RESET_BEFORE_HEADER,
    110: Symptom.READ_TIMED_OUT,
    20014: Symptom.CLOSED_BEFORE_HEADER,
    70007: Symptom.READ_TIMED_OUT,
    70014: Symptom.CLOSED_BEFORE_HEADER,
}
BODY = {
    104: Symptom.RESET_IN_BODY,
    110: Symptom.BODY_TIMED_OUT,
    20014: Symptom.BODY_INVALID,
    70007: Symptom.BODY_TIMED_OUT,
    70008: Symptom.CLOSED_IN_BODY,
}

_NOBODY = "backend-not-running wrong-port wrong-address connect-timeout unix-socket-missing"
_BUSY = "worker-connections-exhausted backend-too-slow proxy-loop"
_TLS = "tls-handshake-failed wrong-protocol tls-verify-failed"
_VERIFY = "tls-verify-failed"

PRODUCT = Product(
    name="apache",
    title="Apache httpd (mod_proxy)",
    also=("httpd",),
    formats=("apache",),
    about=(
        "A failed connection is a 503, a missing or broken answer a 502, and only mod_proxy_fcgi (2.4.26 and later) and tunnels know"
        " a 504. The line with the errno and the address carries no client; the line after it, of the same pid and tid, carries the"
        " client and no reason. Certificates that do not verify and failed handshakes are a 500. An answer without a status line is taken"
        " for HTTP/0.9 and delivered with 200."
    ),
    codes=table(
        code("AH00957", "connecting to the backend failed; the errno in front tells why", Symptom.CONNECT_FAILED, f"{_NOBODY} host-unreachable selinux-denied ephemeral-ports-exhausted", "503"),
        code("AH02454", "connecting to the unix socket failed; the errno in front tells why", Symptom.CONNECT_FAILED, "unix-socket-missing unix-socket-permission php-fpm-socket-mismatch backend-not-running listen-backlog-overflow", "503"),
        code("AH00952", "no socket could be made for the connection; the errno in front tells why", Symptom.FILES_EXHAUSTED, "too-many-open-files sandbox-network-denied", "503"),
        code("AH01114", "the backend could not be connected (HTTP); the line before it tells why", Symptom.CONNECT_FAILED, _NOBODY, "503"),
        code("AH01079", "the backend could not be connected (FastCGI); the line before it tells why", Symptom.CONNECT_FAILED, f"unix-socket-missing unix-socket-permission {_NOBODY}", "503"),
        code("AH00896", "the backend could not be connected (AJP); the line before it tells why", Symptom.CONNECT_FAILED, _NOBODY, "503"),
        code("AH10101", "the backend could not be connected (uwsgi); the line before it tells why", Symptom.CONNECT_FAILED, _NOBODY, "503"),
        code("AH02452", "the backend could not be connected (WebSocket); the line before it tells why", Symptom.CONNECT_FAILED, _NOBODY, "503"),
        code("AH00959", "a member of a balancer is left out for a while after a failed connection", Symptom.PEER_DISABLED, "all-upstreams-down backend-not-running", failure=False),
        code("AH00940", "the request came while the member was left out; nothing was tried", Symptom.NO_LIVE_UPSTREAMS, "all-upstreams-down backend-not-running", "503"),
        code("AH00941", "no connection of the pool (max=) became free within acquire=", Symptom.PEER_LIMIT, "upstream-connection-limit backend-too-slow workers-exhausted", "503"),
        code("AH00934", "no usable member is in the balancer", Symptom.NO_LIVE_UPSTREAMS, "all-upstreams-down", "503"),
        code("AH01170", "every member of the balancer is in error state", Symptom.NO_LIVE_UPSTREAMS, "all-upstreams-down health-check-misconfigured", "503"),
        code("AH01167", "every member for the sticky session's route is in error state", Symptom.NO_LIVE_UPSTREAMS, "all-upstreams-down", "503"),
        code("AH01171", "the balancer has no members", Symptom.NO_MEMBERS, "no-upstream-members", "503"),
        code("AH01174", "a member is left out because the backend itself answered with a status of failonstatus=", Symptom.UPSTREAM_STATUS, "upstream-error-status all-upstreams-down"),
        code("AH02460", "a member is left out because of a timeout (failontimeout=)", Symptom.READ_TIMED_OUT, "backend-too-slow all-upstreams-down"),
        code("AH01102", "no status line came from the backend; the errno tells why", Symptom.CLOSED_BEFORE_HEADER, "premature-close backend-too-slow connection-reset keepalive-race backend-crashed worker-timeout wrong-protocol", "502"),
        code("AH00898", "the reason that the client is shown", Symptom.CLOSED_BEFORE_HEADER, "premature-close backend-too-slow", "502, 500 for names (2.4.59) and TLS"),
        code("AH01104", "a kept-alive client is cut off without an answer, since the backend failed: it is to try again", Symptom.CLOSED_BEFORE_HEADER, "keepalive-race premature-close"),
        code("AH01110", "the response body broke off", Symptom.CLOSED_IN_BODY, "truncated-response backend-too-slow invalid-response backend-crashed", "200, cut short"),
        code("AH01106", "a response header is malformed, too long, or broke off", Symptom.HEADER_INVALID, "invalid-response response-header-too-big premature-close", "502"),
        code("AH10124", "a response header line exceeds responsefieldsize", Symptom.HEADER_TOO_BIG, "response-header-too-big", "502"),
        code("AH10404", "the connection ended inside of the response header", Symptom.CLOSED_BEFORE_HEADER, "premature-close backend-too-slow", "502"),
        code("AH01070", "the script's header block is malformed", Symptom.HEADER_INVALID, "invalid-response premature-close", "500"),
        code("AH01067", "the FastCGI server closed before it sent a record", Symptom.CLOSED_BEFORE_HEADER, "premature-close php-fpm-crashed worker-timeout wrong-protocol", "503"),
        code("AH01068", "the answer is no FastCGI (72 is the H of HTTP)", Symptom.OTHER_PROTOCOL, "wrong-protocol", "503"),
        code("AH01069", "the answer belongs to another FastCGI request", Symptom.OTHER_PROTOCOL, "wrong-protocol invalid-response", "503"),
        code("AH01071", "the FastCGI application wrote to its standard error", None, "application-error upstream-error-status", failure=False),
        code("AH01075", "the exchange with the FastCGI server failed; errno and place tell how", Symptom.CLOSED_BEFORE_HEADER, "premature-close backend-too-slow php-fpm-crashed worker-timeout workers-exhausted", "503; 504 after a timeout (2.4.26)"),
        code("AH01073", "the FastCGI server did not take the request", Symptom.SEND_FAILED, "connection-reset php-fpm-crashed wrong-protocol", "503"),
        code("AH01074", "the FastCGI server did not take the request's variables", Symptom.SEND_FAILED, "connection-reset php-fpm-crashed wrong-protocol", "503"),
        code("AH01084", "the request could not be sent", Symptom.SEND_FAILED, f"connection-reset {_TLS} premature-close", "500 for TLS, else 502 or 503"),
        code("AH01097", "the request could not be sent", Symptom.SEND_FAILED, f"connection-reset {_TLS}"),
        code("AH01095", "the client did not deliver its request's body", Symptom.CLIENT_CLOSED, "client-closed-request", "400", failure=False),
        code("AH02608", "the client did not deliver its request's body", Symptom.CLIENT_CLOSED, "client-closed-request", "400", failure=False),
        code("AH01030", "no header came over AJP", Symptom.CLOSED_BEFORE_HEADER, "backend-too-slow keepalive-race workers-exhausted premature-close", "503"),
        code("AH00992", "no header came over AJP", Symptom.CLOSED_BEFORE_HEADER, "backend-too-slow keepalive-race workers-exhausted premature-close", "503"),
        code("AH00878", "no answer came over AJP", Symptom.CLOSED_BEFORE_HEADER, "backend-too-slow keepalive-race workers-exhausted wrong-protocol premature-close", "503"),
        code("AH01031", "what came is no AJP", Symptom.OTHER_PROTOCOL, "wrong-protocol", "503"),
        code("AH01080", "what came is no AJP (4854 is the HT of HTTP)", Symptom.OTHER_PROTOCOL, "wrong-protocol", "503"),
        code("AH00897", "the AJP backend did not answer the ping", Symptom.READ_TIMED_OUT, "backend-hung backend-too-slow", "503"),
        code("AH01144", "no loaded module speaks that URL's scheme", Symptom.MODULE_MISSING, "proxy-module-missing proxy-config-invalid", "500, in 2.2 403"),
        code("AH01146", "two routes share one backend, the parameters of the second are ignored", Symptom.WORKER_SHARING, "proxy-worker-sharing php-fpm-socket-mismatch"),
        code("AH01089", "no directory for temporary files was found, so the request's body could not be stored", Symptom.TEMP_DENIED, "proxy-temp-unwritable disk-full", "500"),
        code("AH01090", "no temporary file could be made, so the request's body could not be stored", Symptom.TEMP_DENIED, "proxy-temp-unwritable disk-full", "500"),
        code("AH01091", "the request's body could not be stored in a temporary file", Symptom.TEMP_DENIED, "disk-full proxy-temp-unwritable", "500"),
        code("AH00484", "httpd itself is out of workers (event)", Symptom.WORKER_CONNECTIONS, _BUSY),
        code("AH00161", "httpd itself is out of workers (prefork)", Symptom.WORKER_CONNECTIONS, _BUSY),
        code("AH00286", "httpd itself is out of workers (worker)", Symptom.WORKER_CONNECTIONS, _BUSY),
        code("AH10159", "httpd itself is nearly out of workers", Symptom.WORKER_CONNECTIONS, _BUSY),
        code("AH00288", "the scoreboard is full", Symptom.WORKER_CONNECTIONS, _BUSY),
        code("AH00485", "the scoreboard is full", Symptom.WORKER_CONNECTIONS, _BUSY),
        code("AH03490", "the scoreboard is full of processes that are leaving", Symptom.WORKER_CONNECTIONS, _BUSY),
        code("AH00052", "a child of httpd died by a signal", Symptom.PROXY_WORKER_DIED, "proxy-worker-crashed"),
        code("AH00051", "a child of httpd died by a signal and dumped core", Symptom.PROXY_WORKER_DIED, "proxy-worker-crashed"),
        code("AH00045", "a child does not leave after a graceful restart or stop", None, "proxy-config-not-loaded", failure=False),
        code("AH00046", "a child does not leave after a graceful restart or stop", None, "proxy-config-not-loaded", failure=False),
        code("AH02411", "the backend's certificate has another name", Symptom.TLS_UNVERIFIED, _VERIFY, "500"),
        code("AH02005", "the backend's certificate has another name", Symptom.TLS_UNVERIFIED, _VERIFY, "500"),
        code("AH02004", "the backend's certificate has expired", Symptom.TLS_UNVERIFIED, _VERIFY, "500"),
        code("AH02276", "the backend's certificate did not verify", Symptom.TLS_UNVERIFIED, _VERIFY, "500"),
        code("AH02039", "the backend's certificate did not verify", Symptom.TLS_UNVERIFIED, _VERIFY, "500"),
        code("AH02040", "the certificate's chain is too long", Symptom.TLS_UNVERIFIED, _VERIFY, "500"),
        code("AH02003", "the TLS handshake with the backend failed", Symptom.TLS_FAILED, _TLS, "500"),
        code("AH01997", "the TLS handshake with the backend failed", Symptom.TLS_FAILED, _TLS, "500"),
        code("AH01961", "SSLProxyEngine is not on for an https backend", Symptom.CONFIG_INVALID, "proxy-config-invalid", "500"),
        code("AH00961", "TLS to the backend is not switched on (SSLProxyEngine)", Symptom.CONFIG_INVALID, "proxy-config-invalid", "500"),
        code("AH00072", "httpd cannot listen: the address is in use or not on this machine", Symptom.LISTEN_FAILED, "proxy-listen-failed proxy-not-running port-conflict"),
        code("AH00526", "the configuration has an error, httpd does not start", Symptom.CONFIG_INVALID, "proxy-config-invalid proxy-not-running"),
        code("AH00015", "httpd cannot open its logs, it does not start", Symptom.PROXY_START_FAILED, "proxy-not-running disk-full"),
        code("AH00124", "internal redirects go round in circles", Symptom.REWRITE_CYCLE, "rewrite-cycle", "500"),
        code("AH00558", "no ServerName is set: harmless", None, "", failure=False),
        code("AH00037", "symbolic links are not allowed there", None, "", "403", failure=False),
        code("AH01630", "denied by Require or Deny", Symptom.DENIED_BY_RULE, "denied-by-rule", "403", failure=False),
        code("AH01797", "denied by Require or Deny", Symptom.DENIED_BY_RULE, "denied-by-rule", "403", failure=False),
        code("AH00128", "a file does not exist", None, "", "404", failure=False),
    ),
    next=(
        "apachectl -t; apachectl -S; apachectl -M | grep proxy",
        "LogLevel proxy:debug ssl:info in the virtual host, then a graceful restart",
        "curl the backend with the same Host header, for a unix socket as httpd's user",
    ),
    references=("https://httpd.apache.org/docs/2.4/mod/mod_proxy.html", "https://github.com/apache/httpd modules/proxy/"),
)  # fmt: skip
