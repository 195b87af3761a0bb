"""IIS, Application Request Routing and the ASP.NET Core module: statuses with their sub-status,
and Windows' error numbers for connections.

Source: "HTTP status codes in IIS", "Troubleshooting 502 errors in ARR" and "Common error troubleshooting for Azure App Service
and IIS with ASP.NET Core" (learn.microsoft.com), winhttp.h. The field sc-win32-status shows a WinHTTP error as a number, a trace
as hexadecimal.
"""

from __future__ import annotations

from why502.gateways.codes import Product, code, table
from why502.model.logs import Symptom

_CONNECT = "backend-not-running wrong-port connect-rejected"
_NATIVE = (  # number, message, symptom, causes
    (12002, "no response in time (ERROR_WINHTTP_TIMEOUT)", Symptom.READ_TIMED_OUT, "backend-too-slow proxy-timeout-too-short"),
    (12007, "the backend's name does not resolve (ERROR_WINHTTP_NAME_NOT_RESOLVED)", Symptom.NAME_NOT_FOUND, "dns-host-not-found"),
    (12029, "the connection to the backend failed (ERROR_WINHTTP_CANNOT_CONNECT)", Symptom.CONNECT_REFUSED, _CONNECT),
    (12030, "the backend closed the connection (ERROR_WINHTTP_CONNECTION_ERROR)", Symptom.CLOSED_BEFORE_HEADER, "premature-close connection-reset"),
    (12152, "the backend's response is invalid (ERROR_WINHTTP_INVALID_SERVER_RESPONSE)", Symptom.HEADER_INVALID, "invalid-response"),
    (12175, "the TLS handshake or certificate verification failed (ERROR_WINHTTP_SECURE_FAILURE)", Symptom.TLS_FAILED, "tls-handshake-failed tls-verify-failed"),
)  # fmt: skip
_WIN32 = 0x80070000  # HRESULT_FROM_WIN32

PRODUCT = Product(
    name="iis",
    title="IIS, ARR and the ASP.NET Core module",
    about=(
        "The W3C log has sc-status, sc-substatus and sc-win32-status. The sub-status shows which component answered, "
        "and sc-win32-status shows why a connection failed. A 503 that is in no log of the site was returned by "
        "HTTP.sys: see httperr*.log."
    ),
    codes=table(
        code("500.30", "the application failed to start inside the IIS worker process", Symptom.START_FAILED, "backend-startup-failure", "500"),
        code("500.31", "the version of .NET that the application needs is not installed", Symptom.START_FAILED, "backend-startup-failure", "500"),
        code("500.32", "the application could not be loaded: 32-bit and 64-bit are mixed", Symptom.START_FAILED, "backend-startup-failure", "500"),
        code("500.33", "the application's request handler could not be loaded", Symptom.START_FAILED, "backend-startup-failure", "500"),
        code("500.35", "two applications share one process: each needs its own application pool", Symptom.START_FAILED, "backend-startup-failure", "500"),
        code("500.37", "the application did not start within startupTimeLimit", Symptom.START_FAILED, "backend-startup-failure", "500"),
        code("500.1013", "the application pool's worker or the application exited before it answered", Symptom.PROCESS_CRASHED, "backend-crashed", "500"),
        code("502.1", "a CGI application took longer than its time limit", Symptom.READ_TIMED_OUT, "backend-too-slow proxy-timeout-too-short", "502"),
        code("502.2", "a CGI application's response is invalid", Symptom.HEADER_INVALID, "invalid-response", "502"),
        code("502.3", "ARR could not connect or lost the connection; sc-win32-status gives the reason (12002 timeout, 12029 refused, 12007 unknown name)", Symptom.CONNECT_FAILED, "backend-not-running wrong-port backend-too-slow premature-close", "502"),
        code("502.4", "no server in the farm is available", Symptom.NO_LIVE_UPSTREAMS, "all-upstreams-down health-check-misconfigured no-upstream-members", "502"),
        code("502.5", "the ASP.NET Core application's process did not start", Symptom.START_FAILED, "backend-startup-failure", "502"),
        code("503.0", "the application pool is stopped, or was disabled after too many failures", Symptom.CONNECT_REFUSED, "backend-not-running backend-crash-loop", "503"),
        code("503.2", "more concurrent requests than appConcurrentRequestLimit allows", Symptom.PEER_LIMIT, "upstream-connection-limit workers-exhausted", "503"),
        code("503.3", "the ASP.NET queue is full", Symptom.WORKERS_BUSY, "workers-exhausted", "503"),
        code("503.4", "the FastCGI queue is full", Symptom.WORKERS_BUSY, "workers-exhausted", "503"),
        *(code(str(number), message, symptom, causes) for number, message, symptom, causes in _NATIVE),
        *(code(f"0x{_WIN32 + number:08x}", message, symptom, causes) for number, message, symptom, causes in _NATIVE),
    ),
    next=(
        "Get-WebAppPoolState; Get-EventLog Application -Newest 50",
        "type C:\\Windows\\System32\\LogFiles\\HTTPERR\\httperr*.log",
        "Invoke-WebRequest http://BACKEND:PORT/",
    ),
    references=(
        "https://learn.microsoft.com/en-us/troubleshoot/developer/webapps/iis/health-diagnostic-performance/http-status-code",
        "https://learn.microsoft.com/en-us/iis/extensions/troubleshooting-application-request-routing/troubleshooting-502-errors-in-arr",
    ),
)  # fmt: skip
