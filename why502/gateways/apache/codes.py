"""Apache httpd: the AH codes of mod_proxy and related modules (modules/proxy/*.c, modules/ssl/ssl_engine_io.c, server/mpm)."""

from __future__ import annotations

from why502.gateways.codes import Product, code, table
from why502.model.logs import Symptom

CONNECT = {  # by errno, for AH00957 and AH02454; 70007 is httpd's own timeout (apr_errno.h)
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
SOCKET = {  # by errno, for AH00952
    13: Symptom.SOCKET_DENIED,
    23: Symptom.FILES_EXHAUSTED,
    24: Symptom.FILES_EXHAUSTED,
    97: Symptom.SOCKET_DENIED,
}
READ = {  # by errno, when no response header came
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
        "A failed connection is a 503, a missing or broken response a 502. Only mod_proxy_fcgi (2.4.26 and later) and "
        "tunnels return 504. The log line with the errno and the address does not name the client. The next line of "
        "the same pid and tid names the client but not the reason. Failed certificate verification and failed "
        "handshakes are a 500. A response without a status line is treated as HTTP/0.9 and delivered with 200. "
        "mod_proxy_hcheck logs no failed check at the usual level; `diagnose` asks mod_status for it, which needs "
        "`ProxyStatus On` and a path that no ProxyPass takes."
    ),
    codes=table(
        code("AH00957", "connecting to the backend failed; the errno before the code gives the reason", Symptom.CONNECT_FAILED, f"{_NOBODY} host-unreachable selinux-denied ephemeral-ports-exhausted", "503"),
        code("AH02454", "connecting to the unix socket failed; the errno before the code gives the reason", Symptom.CONNECT_FAILED, "unix-socket-missing unix-socket-permission php-fpm-socket-mismatch backend-not-running listen-backlog-overflow", "503"),
        code("AH00952", "no socket could be created for the connection; the errno before the code gives the reason", Symptom.FILES_EXHAUSTED, "too-many-open-files sandbox-network-denied", "503"),
        code("AH01114", "the connection to the backend failed (HTTP); the previous line gives the reason", Symptom.CONNECT_FAILED, _NOBODY, "503"),
        code("AH01079", "the connection to the backend failed (FastCGI); the previous line gives the reason", Symptom.CONNECT_FAILED, f"unix-socket-missing unix-socket-permission {_NOBODY}", "503"),
        code("AH00896", "the connection to the backend failed (AJP); the previous line gives the reason", Symptom.CONNECT_FAILED, _NOBODY, "503"),
        code("AH10101", "the connection to the backend failed (uwsgi); the previous line gives the reason", Symptom.CONNECT_FAILED, _NOBODY, "503"),
        code("AH02452", "the connection to the backend failed (WebSocket); the previous line gives the reason", Symptom.CONNECT_FAILED, _NOBODY, "503"),
        code("AH00959", "a balancer member is disabled for a while after a failed connection", Symptom.PEER_DISABLED, "all-upstreams-down backend-not-running", failure=False),
        code("AH00940", "the request arrived while the member was disabled; no attempt was made", Symptom.NO_LIVE_UPSTREAMS, "all-upstreams-down backend-not-running", "503"),
        code("AH00941", "no connection of the pool (max=) became free within acquire=", Symptom.PEER_LIMIT, "upstream-connection-limit backend-too-slow workers-exhausted", "503"),
        code("AH00934", "the balancer has no usable member", Symptom.NO_LIVE_UPSTREAMS, "all-upstreams-down", "503"),
        code("AH01170", "every member of the balancer is in error state", Symptom.NO_LIVE_UPSTREAMS, "all-upstreams-down health-check-misconfigured", "503"),
        code("AH01167", "every member for the sticky session's route is in error state", Symptom.NO_LIVE_UPSTREAMS, "all-upstreams-down", "503"),
        code("AH01171", "the balancer has no members", Symptom.NO_MEMBERS, "no-upstream-members", "503"),
        code("AH01174", "a member is disabled because the backend returned a status listed in failonstatus=", Symptom.UPSTREAM_STATUS, "upstream-error-status all-upstreams-down"),
        code("AH02460", "a member is disabled because of a timeout (failontimeout=)", Symptom.READ_TIMED_OUT, "backend-too-slow all-upstreams-down"),
        code("AH01102", "the backend sent no status line; the errno gives the reason", Symptom.CLOSED_BEFORE_HEADER, "premature-close backend-too-slow connection-reset keepalive-race backend-crashed worker-timeout wrong-protocol", "502"),
        code("AH00898", "the reason as shown to the client", Symptom.CLOSED_BEFORE_HEADER, "premature-close backend-too-slow", "502, 500 for names (2.4.59) and TLS"),
        code("AH01104", "the backend failed, and the client's kept-alive connection is closed without a response so that the client retries", Symptom.CLOSED_BEFORE_HEADER, "keepalive-race premature-close"),
        code("AH01110", "the response body was truncated", Symptom.CLOSED_IN_BODY, "truncated-response backend-too-slow invalid-response backend-crashed", "200, cut short"),
        code("AH02429", "the name of a response header has characters that are not allowed", Symptom.HEADER_INVALID, "invalid-response", "500"),
        code("AH02430", "the value of a response header has characters that are not allowed", Symptom.HEADER_INVALID, "invalid-response", "500"),
        code("AH01106", "a response header is malformed, too long or truncated", Symptom.HEADER_INVALID, "invalid-response response-header-too-big premature-close", "502"),
        code("AH10124", "a response header line exceeds responsefieldsize", Symptom.HEADER_TOO_BIG, "response-header-too-big", "502"),
        code("AH10404", "the connection ended within the response header", Symptom.CLOSED_BEFORE_HEADER, "premature-close backend-too-slow", "502"),
        code("AH01070", "the script's header block is malformed", Symptom.HEADER_INVALID, "invalid-response premature-close", "500"),
        code("AH01067", "the FastCGI server closed before it sent a record", Symptom.CLOSED_BEFORE_HEADER, "premature-close php-fpm-crashed worker-timeout wrong-protocol", "503"),
        code("AH01068", "the response is not FastCGI (72 is the H of HTTP)", Symptom.OTHER_PROTOCOL, "wrong-protocol", "503"),
        code("AH01069", "the response belongs to another FastCGI request", Symptom.OTHER_PROTOCOL, "wrong-protocol invalid-response", "503"),
        code("AH01071", "the FastCGI application wrote to its standard error", None, "application-error upstream-error-status", failure=False),
        code("AH01075", "the exchange with the FastCGI server failed; the errno and the phase give the reason", Symptom.CLOSED_BEFORE_HEADER, "premature-close backend-too-slow php-fpm-crashed worker-timeout workers-exhausted", "503; 504 after a timeout (2.4.26)"),
        code("AH01073", "the FastCGI server did not accept the request", Symptom.SEND_FAILED, "connection-reset php-fpm-crashed wrong-protocol", "503"),
        code("AH01074", "the FastCGI server did not accept the request's variables", Symptom.SEND_FAILED, "connection-reset php-fpm-crashed wrong-protocol", "503"),
        code("AH01084", "the request could not be sent", Symptom.SEND_FAILED, f"connection-reset {_TLS} premature-close", "500 for TLS, else 502 or 503"),
        code("AH01097", "the request could not be sent", Symptom.SEND_FAILED, f"connection-reset {_TLS}"),
        code("AH01095", "the client did not send its request body", Symptom.CLIENT_CLOSED, "client-closed-request", "400", failure=False),
        code("AH02608", "the client did not send its request body", Symptom.CLIENT_CLOSED, "client-closed-request", "400", failure=False),
        code("AH01030", "no response header arrived over AJP", Symptom.CLOSED_BEFORE_HEADER, "backend-too-slow keepalive-race workers-exhausted premature-close", "503"),
        code("AH00992", "no response header arrived over AJP", Symptom.CLOSED_BEFORE_HEADER, "backend-too-slow keepalive-race workers-exhausted premature-close", "503"),
        code("AH00878", "no response arrived over AJP", Symptom.CLOSED_BEFORE_HEADER, "backend-too-slow keepalive-race workers-exhausted wrong-protocol premature-close", "503"),
        code("AH01031", "the response is not AJP", Symptom.OTHER_PROTOCOL, "wrong-protocol", "503"),
        code("AH01080", "the response is not AJP (4854 is the HT of HTTP)", Symptom.OTHER_PROTOCOL, "wrong-protocol", "503"),
        code("AH00897", "the AJP backend did not answer the ping", Symptom.READ_TIMED_OUT, "backend-hung backend-too-slow", "503"),
        code("AH01144", "no loaded module supports the URL's scheme", Symptom.MODULE_MISSING, "proxy-module-missing proxy-config-invalid", "500, in 2.2 403"),
        code("AH01146", "two routes share one backend, and the parameters of the second are ignored", Symptom.WORKER_SHARING, "proxy-worker-sharing php-fpm-socket-mismatch"),
        code("AH01089", "no directory for temporary files was found, so the request body could not be stored", Symptom.TEMP_DENIED, "proxy-temp-unwritable disk-full", "500"),
        code("AH01090", "no temporary file could be created, so the request body could not be stored", Symptom.TEMP_DENIED, "proxy-temp-unwritable disk-full", "500"),
        code("AH01091", "the request body could not be stored in a temporary file", Symptom.TEMP_DENIED, "disk-full proxy-temp-unwritable", "500"),
        code("AH00484", "all workers of httpd itself are busy (event)", Symptom.WORKER_CONNECTIONS, _BUSY),
        code("AH00161", "all workers of httpd itself are busy (prefork)", Symptom.WORKER_CONNECTIONS, _BUSY),
        code("AH00286", "all workers of httpd itself are busy (worker)", Symptom.WORKER_CONNECTIONS, _BUSY),
        code("AH10159", "nearly all workers of httpd itself are busy", None, _BUSY, failure=False),
        code("AH00288", "the scoreboard is full", Symptom.WORKER_CONNECTIONS, _BUSY),
        code("AH00485", "the scoreboard is full", Symptom.WORKER_CONNECTIONS, _BUSY),
        code("AH03490", "the scoreboard is full of processes that are exiting", Symptom.WORKER_CONNECTIONS, _BUSY),
        code("AH00052", "a child of httpd was killed by a signal", Symptom.PROXY_WORKER_DIED, "proxy-worker-crashed"),
        code("AH00051", "a child of httpd was killed by a signal and dumped core", Symptom.PROXY_WORKER_DIED, "proxy-worker-crashed"),
        code("AH00045", "a child does not exit after a graceful restart or stop", None, "proxy-config-not-loaded", failure=False),
        code("AH00046", "a child does not exit after a graceful restart or stop", None, "proxy-config-not-loaded", failure=False),
        code("AH02411", "the backend's certificate is for another name", Symptom.TLS_UNVERIFIED, _VERIFY, "500"),
        code("AH02005", "the backend's certificate is for another name", Symptom.TLS_UNVERIFIED, _VERIFY, "500"),
        code("AH02004", "the backend's certificate has expired", Symptom.TLS_UNVERIFIED, _VERIFY, "500"),
        code("AH02276", "verification of the backend's certificate failed", Symptom.TLS_UNVERIFIED, _VERIFY, "500"),
        code("AH02039", "verification of the backend's certificate failed", Symptom.TLS_UNVERIFIED, _VERIFY, "500"),
        code("AH02040", "the certificate chain is too long", Symptom.TLS_UNVERIFIED, _VERIFY, "500"),
        code("AH02003", "the TLS handshake with the backend failed", Symptom.TLS_FAILED, _TLS, "500"),
        code("AH01997", "the TLS handshake with the backend failed", Symptom.TLS_FAILED, _TLS, "500"),
        code("AH01961", "SSLProxyEngine is not on for an https backend", Symptom.CONFIG_INVALID, "proxy-config-invalid", "500"),
        code("AH00961", "TLS to the backend is not enabled (SSLProxyEngine)", Symptom.CONFIG_INVALID, "proxy-config-invalid", "500"),
        code("AH00072", "httpd cannot listen: the address is in use or not on this machine", Symptom.LISTEN_FAILED, "proxy-listen-failed proxy-not-running port-conflict"),
        code("AH00526", "the configuration has an error, so httpd does not start", Symptom.CONFIG_INVALID, "proxy-config-invalid proxy-not-running"),
        code("AH00015", "httpd cannot open its logs, so it does not start", Symptom.PROXY_START_FAILED, "proxy-not-running disk-full"),
        code("AH00124", "internal redirects form a loop", Symptom.REWRITE_CYCLE, "rewrite-cycle", "500"),
        code("AH00558", "no ServerName is set: harmless", None, "", failure=False),
        code("AH00037", "symbolic links are not allowed there", None, "", "403", failure=False),
        code("AH01630", "denied by Require or Deny", Symptom.DENIED_BY_RULE, "denied-by-rule", "403", failure=False),
        code("AH01797", "denied by Require or Deny", Symptom.DENIED_BY_RULE, "denied-by-rule", "403", failure=False),
        code("AH00128", "a file does not exist", None, "", "404", failure=False),
    ),
    next=(
        "apachectl -t; apachectl -S; apachectl -M | grep proxy",
        "LogLevel proxy:debug ssl:info in the virtual host, then a graceful restart",
        "curl the backend with the same Host header; for a unix socket, as httpd's user",
    ),
    references=("https://httpd.apache.org/docs/2.4/mod/mod_proxy.html", "https://github.com/apache/httpd modules/proxy/"),
)  # fmt: skip
