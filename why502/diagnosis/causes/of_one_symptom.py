"""Causes with exactly one explanation: the gateway's own message names them, and no other evidence is weighed.

Each row is a cause and its page.
"""

from __future__ import annotations

from why502.diagnosis.cause import Cause
from why502.model.finding import FAIR, LIKELY, PROOF, WEAK, Layer
from why502.model.logs import Symptom

ROWS: tuple[tuple[Cause, str], ...] = (
    (
        Cause(
            id="client-bad-request",
            layer=Layer.CLIENT,
            message="the request itself is malformed and was rejected",
            symptoms={Symptom.CLIENT_BAD_REQUEST: 5.0},
        ),
        """The request itself is malformed, and the proxy rejects it.

Typical: 400 with "client sent invalid method", plain HTTP sent to a TLS port (497), a missing Host header, ALB 463.

## Do not confuse with
- `request-too-large`: the request is well-formed but exceeds a limit.

## Confirm
- The error log has a line about the request at level info.

## Fix
- Fix the client. Requests from scanners and port probes are harmless.

## References
- RFC 9112, 3
""",
    ),
    (
        Cause(
            id="client-timeout",
            layer=Layer.CLIENT,
            message="the client sent or read too slowly",
            symptoms={Symptom.CLIENT_TIMED_OUT: 5.0},
        ),
        """The client sent its request or read the response too slowly.

The client gets 408 or a closed connection. nginx logs "client timed out while …" at level info.

## Do not confuse with
- `client-closed-request`: the client closed the connection itself.

## Confirm
- Compare the duration with client_header_timeout, client_body_timeout and send_timeout (60 s each by default).

## Fix
- If the limits have their default values, there is nothing to fix on the server.

## References
- https://nginx.org/en/docs/http/ngx_http_core_module.html#client_body_timeout
""",
    ),
    (
        Cause(
            id="cache-storage-full",
            layer=Layer.PROXY,
            message="no space is left for the cached object",
            symptoms={Symptom.CACHE_FULL: 5.0},
        ),
        """No space is left for the cached object.

Varnish logs "Could not get storage". n_lru_nuked grows, nuke_limit is reached, and the fetch fails with 503.

## Do not confuse with
- `disk-full`: the file system is full.

## Confirm
- `varnishstat` shows growing MAIN.n_lru_nuked and SMA.*.c_fail.

## Fix
- Use a larger storage, raise nuke_limit, or pass large objects without caching them.

## References
- https://varnish-cache.org/docs/7.1/reference/varnishd.html
""",
    ),
    (
        Cause(
            id="cdn-setting",
            layer=Layer.PROXY,
            message="a setting at the CDN in front (TLS mode, origin rule, worker) makes the request fail",
            symptoms={Symptom.CDN_SETTING: LIKELY},
        ),
        """A setting at the CDN in front (TLS mode, origin rule, worker) makes the request fail.

Typical: a TLS mode that does not match the origin, an origin rule with another port, a worker that throws an exception (1101), a
redirect loop caused by Flexible TLS.

## Do not confuse with
- `tls-verify-failed`, `tls-handshake-failed`: the origin's certificate or protocol is wrong.

## Confirm
- Read the code on the CDN's error page. Send the same request directly to the origin.

## Fix
- Correct the setting at the CDN that the code names.

## References
- https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors/
""",
    ),
    (
        Cause(
            id="circuit-breaker-open",
            layer=Layer.PROXY,
            message="a circuit breaker or outlier detection of the proxy rejects requests",
            symptoms={Symptom.CIRCUIT_OPEN: 5.0},
        ),
        """A circuit breaker or outlier detection of the proxy rejects requests.

The client gets 503 immediately and the backend is not contacted. Envoy logs UO (upstream overflow). Traefik has circuitBreaker,
Istio has outlier detection.

## Do not confuse with
- `all-upstreams-down`: no usable member is left.

## Confirm
- Envoy: `upstream_rq_pending_overflow`, `circuit_breakers.default.*_open` in /stats are above 0.

## Fix
- Fix the failure that opened it, or raise its thresholds.

## References
- https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/circuit_breaking
""",
    ),
    (
        Cause(
            id="proxy-bind-failed",
            layer=Layer.PROXY,
            message="the local address that the proxy should connect from is not available, or belongs to another address family",
            symptoms={Symptom.BIND_FAILED: PROOF},
        ),
        """The local address that the proxy should connect from is not available, or belongs to another address family.

proxy_bind names an address that this machine does not have, or no longer has. nginx logs "bind(…) failed (99: Cannot assign
requested address)" and answers 500.

## Do not confuse with
- `ephemeral-ports-exhausted`: connect() fails with 99, not bind().

## Confirm
- Compare `ip addr` with proxy_bind.

## Fix
- Have the proxy connect from an address of this machine, or let the kernel choose it.
- nginx: set proxy_bind to such an address, or remove it.

## References
- https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_bind
""",
    ),
    (
        Cause(
            id="proxy-bug",
            layer=Layer.PROXY,
            message="a known bug in this version of the gateway",
            symptoms={Symptom.PROXY_BUG: LIKELY, Symptom.PROXY_INTERNAL: FAIR},
        ),
        """This version of the gateway has a known bug.

## Do not confuse with
- every other cause: rule them out first.

## Confirm
- Look up the version in the project's issue tracker and changelog.

## Fix
- Update the gateway.

## References
- https://nginx.org/en/CHANGES
""",
    ),
    (
        Cause(
            id="proxy-worker-crashed",
            layer=Layer.PROXY,
            message="a worker process of the proxy itself was killed by a signal",
            symptoms={Symptom.PROXY_WORKER_DIED: 5.0},
        ),
        """A worker process of the proxy itself was killed by a signal.

nginx logs "worker process N exited on signal 11". All requests of that worker are lost without a line in the access log. A new
worker starts immediately. The cause is nearly always a third-party module.

## Do not confuse with
- `backend-crashed`: the backend crashed, not the proxy.

## Confirm
- See `journalctl -k -g 'nginx.*segfault'` and `coredumpctl info nginx`.

## Fix
- Update the proxy together with its modules. Otherwise disable the modules one by one to find the faulty one.

## References
- nginx: src/os/unix/ngx_process.c, ngx_process_get_status
""",
    ),
    (
        Cause(
            id="proxy-worker-sharing",
            layer=Layer.PROXY,
            message="two routes share one backend definition, and the settings of the first one apply to both",
            symptoms={Symptom.WORKER_SHARING: LIKELY},
            explains=frozenset({"backend-too-slow", "proxy-timeout-too-short"}),
        ),
        """Two routes share one backend definition, and the settings of the first one apply to both.

Apache logs AH01146. It selects a worker by the longest common URL prefix, so the timeouts and keepalive settings of another
ProxyPass apply.

## Do not confuse with
- `proxy-timeout-too-short`: the route's own setting is too short.

## Confirm
- Search the error log after a start: `grep AH01146`.

## Fix
- Order ProxyPass lines from the longest URL to the shortest. Set the same parameters on all lines that share a backend.

## References
- https://httpd.apache.org/docs/2.4/mod/mod_proxy.html#workers
""",
    ),
    (
        Cause(
            id="proxy-workspace-exhausted",
            layer=Layer.PROXY,
            message="the proxy's memory for a request, or its header workspace, is used up",
            symptoms={Symptom.WORKSPACE: 5.0},
        ),
        """The proxy's memory for a request, or its header workspace, is used up.

Varnish logs "overflow"; the limits are workspace_backend and http_resp_hdr_len. In HAProxy the limit is tune.bufsize.

## Do not confuse with
- `response-header-too-big`: the response header exceeds one buffer.

## Confirm
- `varnishstat` shows ws_backend_overflow and ws_client_overflow above 0.

## Fix
- Raise workspace_backend or http_resp_size, or send fewer headers.

## References
- https://varnish-cache.org/docs/7.1/reference/varnishd.html
""",
    ),
    (
        Cause(
            id="route-target-missing",
            layer=Layer.PROXY,
            message="the route names a cluster, service or backend that does not exist",
            symptoms={Symptom.ROUTE_TARGET_MISSING: 5.0},
        ),
        """The route names a cluster, service or backend that does not exist.

Envoy logs NC (cluster_not_found), HAProxy "unable to find required use_backend", Traefik "the service … does not exist".

## Do not confuse with
- `no-upstream-members`: the backend exists but is empty.

## Confirm
- Compare the name in the route with the list of backends.

## Fix
- Correct the name, or create the backend.

## References
- https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage
""",
    ),
    (
        Cause(
            id="stale-endpoint",
            layer=Layer.PROXY,
            message="the proxy still sends requests to a member that is gone: "
            "service discovery or its configuration generator lags behind",
            symptoms={Symptom.STALE_ENDPOINT: LIKELY},
        ),
        """The proxy still sends requests to a member that is gone: service discovery or its configuration generator lags behind.

The address belongs to a pod or container that was replaced.

## Do not confuse with
- `stale-dns`: a name was resolved only once, when the configuration was loaded.
- `deploy-termination-race`: lasts only seconds.

## Confirm
- Compare the address in the log with the members that the platform lists.

## Fix
- Make the generator reload the proxy, and read the generator's log.

## References
- https://kubernetes.github.io/ingress-nginx/how-it-works/
""",
    ),
    (
        Cause(
            id="function-target-error",
            layer=Layer.UPSTREAM,
            message="the serverless function failed, was throttled, or returned a response in the wrong format",
            symptoms={Symptom.FUNCTION_FAILED: 5.0},
        ),
        """The serverless function failed, was throttled, or returned a response in the wrong format.

ALB returns 502 with an error_reason that starts with Lambda. CloudFront logs LambdaExecutionError or LambdaValidationError.

## Do not confuse with
- `upstream-error-status`: the function itself returned that status.

## Confirm
- Read the function's own log. Check the response format: statusCode, headers, body as a string.

## Fix
- Correct the function: the response format, the permission, the concurrency limit, or the size (limit 1 MB).

## References
- https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
""",
    ),
    (
        Cause(
            id="http2-stream-refused",
            layer=Layer.UPSTREAM,
            message="an HTTP/2 or gRPC backend reset the stream (REFUSED_STREAM, INTERNAL_ERROR, ENHANCE_YOUR_CALM)",
            symptoms={Symptom.STREAM_RESET: 5.0},
            explains=frozenset({"premature-close"}),
        ),
        """An HTTP/2 or gRPC backend reset the stream (REFUSED_STREAM, INTERNAL_ERROR, ENHANCE_YOUR_CALM).

nginx logs "upstream rejected request with error N while reading response header from upstream" and answers 502. The error code
(RFC 9113) gives the reason: 1 protocol error, 2 internal error, 7 refused stream, 11 enhance your calm (too many requests).

## Do not confuse with
- `wrong-protocol`: the port does not speak HTTP/2.

## Confirm
- Read the backend's log. Try `grpcurl -plaintext HOST:PORT list`.

## Fix
- Raise the backend's limit on concurrent streams or pings, or fix the request handler.

## References
- RFC 9113, 7 (error codes)
""",
    ),
    (
        Cause(
            id="connection-lost",
            layer=Layer.NETWORK,
            message="an established connection went silent: host gone, or NAT or firewall state expired",
            symptoms={Symptom.CONNECTION_DIED: LIKELY},
        ),
        """An established connection went silent: the host is gone, or a NAT or firewall dropped its state.

nginx logs "recv() failed (110: Connection timed out)" and answers 502. Retransmissions stayed unanswered until the kernel gave
up. This is not the proxy's own timer.

## Do not confuse with
- `connect-timeout`: the connection was never established.
- `backend-too-slow`: the proxy's own timer expired (504).

## Confirm
- `tcpdump` shows retransmissions without an answer. Check the idle timeouts of NAT gateways and firewalls on the path (often
  350 s or 5 min).

## Fix
- Keep connections alive at intervals shorter than the firewall's idle timeout, or close idle ones earlier.
- nginx: `proxy_socket_keepalive on` with short kernel intervals, and a keepalive_timeout shorter than that.

## References
- https://man7.org/linux/man-pages/man7/tcp.7.html (tcp_retries2)
""",
    ),
    (
        Cause(
            id="tunnel-disconnected",
            layer=Layer.NETWORK,
            message="the tunnel agent between gateway and origin is not connected",
            symptoms={Symptom.TUNNEL_DOWN: PROOF},
        ),
        """The tunnel agent between the gateway and the origin is not connected.

Cloudflare shows 1033 (530), ngrok shows ERR_NGROK_3200. An `ssh -R` session that ended has the same effect.

## Do not confuse with
- `backend-not-running`: the agent runs but cannot reach the origin (502 with a Go error).

## Confirm
- Check the agent's status and log (`cloudflared tunnel info`, `systemctl status cloudflared`).

## Fix
- Start the agent under a service manager that restarts it.

## References
- https://developers.cloudflare.com/cloudflare-one/networks/connectors/cloudflare-tunnel/
""",
    ),
    (
        Cause(
            id="gateway-provider-fault",
            layer=Layer.PLATFORM,
            message="a fault of the cloud or CDN provider itself",
            symptoms={Symptom.PROVIDER_FAULT: LIKELY},
        ),
        """The cloud or CDN provider itself has a fault.

The gateway's own infrastructure failed. Its log has an internal code, its status page may report an incident, and the origin
shows no error.

## Do not confuse with
- `cdn-setting`: a setting of the customer is wrong.

## Confirm
- The provider's status page reports an incident at that time. The origin's log does not contain the request.

## Fix
- Wait, or move traffic elsewhere. Open a support case with the request ids.

## References
- https://www.cloudflarestatus.com/
""",
    ),
    (
        Cause(
            id="sandbox-network-denied",
            layer=Layer.PLATFORM,
            message="a sandbox (systemd, snap, seccomp) denies the proxy a socket",
            symptoms={Symptom.SANDBOX_DENIED: PROOF, Symptom.SOCKET_DENIED: WEAK},
            explains=frozenset({"all-upstreams-down", "apparmor-denied"}),
        ),
        """A sandbox (systemd, snap, seccomp) denies the proxy a socket.

RestrictAddressFamilies=, IPAddressDeny=, PrivateNetwork= or a seccomp filter makes socket() or connect() fail with EPERM, EACCES
or EAFNOSUPPORT. No file mode or firewall explains the error.

## Do not confuse with
- `selinux-denied`, `apparmor-denied`: these denials are logged.

## Confirm
- `systemctl show -p RestrictAddressFamilies,IPAddressDeny,PrivateNetwork UNIT` shows the restriction.

## Fix
- Allow the address family or address in a drop-in for the unit.

## References
- https://www.freedesktop.org/software/systemd/man/systemd.exec.html#RestrictAddressFamilies=
""",
    ),
)
