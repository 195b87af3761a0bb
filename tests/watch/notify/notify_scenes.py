"""Incidents, a store in memory, and real servers that misbehave, for the tests of notification."""

from __future__ import annotations

import http.server
import json
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from why502.model.finding import Finding, Layer, Place, supports
from why502.model.target import Target
from why502.watch.model import Change, ChangeKind, Diagnosed, Incident, Message, Occasion, Proposal, Step, Transition
from why502.watch.notify.base import Notice

AT = datetime(2026, 11, 23, 3, 12, 30, tzinfo=UTC)

# What a stranger may put into a path, a name of a host, or an agent.
HOSTILE = (
    "<!channel> <!here> <@U012AB3CD> <#C012> @channel @here @everyone @all",
    "a\r\nBcc: victim@evil.example\r\n\r\nbody\nX-Injected: 1",
    "{{ template }} {{ .Labels }} {% raw %} ${jndi:ldap://evil} $(id) `id`",
    "<script>alert(1)</script><img src=x onerror=alert(2)> ' \" & ]]> --",
    "A" * 10_000,
    "\udcff\udcfe bytes that are no UTF-8 \x00\x1b[31m\x9b\u202e\u2028",
    "*bold* _it_ ~no~ ```code``` > quote | [a](http://evil) <http://evil|good>",
)


def finding(cause: str = "wrong-port", layer: Layer = Layer.PROXY, **changes: Any) -> Finding:
    """Return a finding such as a diagnosis has."""
    values: dict[str, Any] = {
        "message": "nginx connects to 127.0.0.1:3001, where nothing listens; node (pid 10) listens on 127.0.0.1:3000",
        "confidence": 0.95,
        "target": Target(host="127.0.0.1", port=3001),
        "place": Place(server="shop.example", location="/"),
        "statuses": (502,),
        "evidence": (
            supports("connection refused 6 times, answered 502", "/var/log/nginx/error.log:1", 1.0),
            supports("node (pid 10) listens on 127.0.0.1:3000, which no route names", "ss -ltnp", 4.0),
        ),
    }
    return Finding(cause=cause, layer=layer, **{**values, **changes})


def diagnosed(found: Finding | None, after_s: float = 0, occasion: Occasion = Occasion.OPENED, reason: str = "") -> Diagnosed:
    return Diagnosed(at=AT + timedelta(seconds=after_s), occasion=occasion, finding=found, reason=reason)


def incident(**changes: Any) -> Incident:
    """Return an open incident with a diagnosis and a fix."""
    values: dict[str, Any] = {
        "id": "7K3F",
        "key": "v1:abc",
        "host": "web1",
        "proxy": "nginx",
        "symptom": "connect-refused",
        "opened_at": AT,
        "first_failure_at": AT - timedelta(seconds=20),
        "last_failure_at": AT + timedelta(seconds=5),
        "target": "127.0.0.1:3001",
        "location": "shop.example/",
        "locations": ("shop.example/",),
        "failures": 312,
        "requests": 1480,
        "messages": 1,
        "diagnosed": (diagnosed(finding()),),
        "proposal": Proposal(
            summary="let the proxy connect to port 3000",
            diff="--- /etc/nginx/nginx.conf\n+++ /etc/nginx/nginx.conf\n-  proxy_pass http://127.0.0.1:3001;\n+  proxy_pass http://127.0.0.1:3000;",
            command="why502 fix --cause wrong-port",
            is_valid=True,
            test="nginx -t",
        ),
        "changes": (Change(kind=ChangeKind.RELOAD, subject="nginx", at=AT - timedelta(seconds=60)),),
    }
    return Incident(**{**values, **changes})


def closed(one: Incident, after_s: float = 600) -> Incident:
    at = one.opened_at + timedelta(seconds=after_s)
    return msgspec.structs.replace(one, closed_at=at, closing="requests succeed again since nginx was reloaded")


def hostile(text: str) -> Incident:
    """Return an incident with a text of a stranger wherever one can come in."""
    found = finding(
        message=text, place=Place(server=text, location=text), evidence=(supports(text, text, 4.0), supports("x", text, 1.0))
    )
    return incident(
        host=text,
        proxy=text,
        symptom=text,
        target=text,
        location=text,
        locations=(text, text + "2"),
        targets=(text,),
        symptoms={text: 3},
        labels={"team": text, text: "value"},
        closing=text,
        earlier=text,
        unlike_check=text,
        timeline=(Step(at=AT, message=text), Step(at=AT, message=text)),
        diagnosed=(diagnosed(None, reason=text), diagnosed(found, 5)),
        proposal=Proposal(summary=text, diff=f"-{text}\n+{text}", command=text, is_valid=False, test=text),
        changes=(Change(kind=ChangeKind.UNIT, subject=text, at=AT, detail=text),),
    )


def notice(one: Incident | None = None, transition: Transition = Transition.OPENED, **changes: Any) -> Notice:
    one = one or incident()
    key = f"{one.id}.1"
    values: dict[str, Any] = {"key": key, "keys": (key,), "transitions": (transition,), "incident": one, "at": AT}
    return Notice(**{**values, **changes})


@dataclass
class MemoryStore:
    """The store's interface in memory. `put` commits at once, unless `is_holding`."""

    messages: dict[tuple[str, str], Message] = field(default_factory=dict)
    incidents: dict[str, Incident] = field(default_factory=dict)
    is_holding: bool = False
    held: list[Message] = field(default_factory=list)

    def add(self, *messages: Message) -> None:
        for message in messages:
            self.messages[message.receiver, message.key] = message
            self.incidents[message.incident.id] = message.incident

    def put(self, message: Message) -> None:
        if self.is_holding:
            self.held.append(message)
        else:
            self.messages[message.receiver, message.key] = message

    def pending(self, receiver: str, now: datetime) -> list[Message]:
        return [
            one
            for (name, _), one in list(self.messages.items())
            if name == receiver and one.sent_at is None and (one.next_try_at is None or one.next_try_at <= now)
        ]

    def last_sent(self, receiver: str, incident: str) -> Message | None:
        sent = [
            one
            for (name, _), one in self.messages.items()
            if name == receiver and one.incident.id == incident and one.sent_at and not one.error
        ]
        return max(sent, key=lambda one: one.made_at, default=None)

    def current(self, closed_after: datetime) -> list[Incident]:
        return [one for one in self.incidents.values() if one.closed_at is None or one.closed_at > closed_after]


@dataclass(frozen=True)
class Received:
    """A request that a server got."""

    method: str
    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Answering = Callable[[http.server.BaseHTTPRequestHandler, Received], None]


def answer(status: int = 200, body: bytes = b"ok", headers: dict[str, str] | None = None) -> Answering:
    def send(handler: http.server.BaseHTTPRequestHandler, _: Received) -> None:
        handler.send_response_only(status)  # without a date: the tests have a time of their own
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return send


@dataclass
class Server:
    """A real HTTP server. `answers`: one for each request, the last one for all that follow."""

    url: str
    answers: list[Answering]
    received: list[Received] = field(default_factory=list)
    arrived: threading.Condition = field(default_factory=threading.Condition)
    is_over: threading.Event = field(default_factory=threading.Event)

    def wait_for(self, is_reached: Callable[[list[Received]], Any], timeout_s: float = 20) -> list[Received]:
        with self.arrived:
            assert self.arrived.wait_for(lambda: is_reached(self.received), timeout_s), [one.body for one in self.received]
        return self.received

    def hang(self, handler: http.server.BaseHTTPRequestHandler, _: Received) -> None:
        self.is_over.wait(60)

    def drop(self, handler: http.server.BaseHTTPRequestHandler, _: Received) -> None:
        handler.close_connection = True

    def drip(self, handler: http.server.BaseHTTPRequestHandler, _: Received) -> None:
        """Answer with one byte each tenth of a second, without end."""
        for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"z" * 600:
            if self.is_over.wait(0.1):
                return
            try:
                handler.wfile.write(bytes([byte]))
            except OSError:
                return

    def flood(self, handler: http.server.BaseHTTPRequestHandler, _: Received) -> None:
        """Answer with a body that does not end."""
        try:
            handler.wfile.write(b"HTTP/1.1 500 no\r\n\r\n")
            while not self.is_over.is_set():
                handler.wfile.write(b"x" * 65536)
        except OSError:
            return


@contextmanager
def serving(*answers: Answering, tls: Path | None = None) -> Iterator[Server]:
    """Run an HTTP server on a port of loopback; with TLS if there is a file with certificate and key."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            size = int(self.headers.get("Content-Length", 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            received = Received(self.command, self.path, headers, self.rfile.read(size))
            with server.arrived:
                number = len(server.received)
                server.received.append(received)
                server.arrived.notify_all()
            server.answers[min(number, len(server.answers) - 1)](self, received)

        def do_GET(self) -> None:
            self.handle_any()

        def do_POST(self) -> None:
            self.handle_any()

        def log_message(self, *args: Any) -> None:
            pass

    class Listener(socketserver.ThreadingMixIn, http.server.HTTPServer):
        daemon_threads = True

        def handle_error(self, *args: Any) -> None:
            pass

    listener = Listener(("127.0.0.1", 0), Handler)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls)
        listener.socket = context.wrap_socket(listener.socket, server_side=True)
    server = Server(f"http{'s' if tls else ''}://127.0.0.1:{listener.server_port}", list(answers) or [answer()])
    thread = threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.is_over.set()
        listener.shutdown()
        listener.server_close()


_AUTHORITY = """[ca]
default_ca = this
[this]
database = index
rand_serial = yes
new_certs_dir = .
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
"""


def certificate(directory: Path, name: str, ends: str = "20900101000000Z") -> Path:
    """Make a certificate for 127.0.0.1 that signs itself; return the file with it and its key."""
    (directory / "ca.cnf").write_text(_AUTHORITY)
    (directory / "index").write_text("")
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    extension = ("-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost")
    key, request, signed, both = (f"{name}.{one}" for one in ("key", "csr", "crt", "pem"))
    dates = ("-startdate", "20200101000000Z", "-enddate", ends)
    for command in (
        ["req", "-new", *kind, "-subj", f"/CN={name}", *extension, "-keyout", key, "-out", request],
        ["ca", "-selfsign", "-config", "ca.cnf", "-keyfile", key, "-in", request, "-out", signed, "-notext", "-batch", *dates],
    ):
        subprocess.run(["openssl", *command], cwd=directory, check=True, capture_output=True, timeout=30)
    (directory / both).write_text((directory / signed).read_text() + (directory / key).read_text())
    return directory / both


def eventually(is_reached: Callable[[], Any], timeout_s: float = 20) -> Any:
    """Return the first true value of a condition. Fails if there is none in time."""
    until_s = time.monotonic() + timeout_s
    while not (found := is_reached()):
        assert time.monotonic() < until_s, "not reached in time"
        time.sleep(0.02)
    return found


@dataclass
class Clock:
    """Both clocks, which go forward only when they are told to."""

    at: datetime = AT
    monotonic_s: float = 1000.0

    def now(self) -> datetime:
        return self.at

    def pass_s(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        self.monotonic_s += seconds
