"""A backend that behaves or misbehaves on request. It uses raw sockets, so that every fault is possible.

usage: server.py LISTEN [--does NAME] [options]; LISTEN is address:port, [address]:port or unix:/path
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable
from threading import Thread

KEPT: list[bytes] = []
LOCK = threading.Lock()  # SIGUSR1 takes it for ever, as a deadlock does
COOKIES = "".join(f"Set-Cookie: part{number}={'x' * 900}; Path=/; HttpOnly\r\n" for number in range(8))


def say(line: str) -> None:
    """Write a line to the application's log."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def listening(address: str, backlog: int, mode: int) -> socket.socket:
    """Return a listening socket for LISTEN."""
    if address.startswith("unix:"):
        path = address.removeprefix("unix:")
        server = socket.socket(socket.AF_UNIX)
        server.bind(path)
        os.chmod(path, mode)
    else:
        host, _, port = address.rpartition(":")
        server = socket.socket(socket.AF_INET6 if host.startswith("[") else socket.AF_INET)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if host.startswith("["):
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.bind((host.strip("[]"), int(port)))
    server.listen(backlog)
    return server


def read_head(client: socket.socket, rest: bytes = b"") -> tuple[str, str, bytes]:
    """Return method and path of the next request, and what else was read. The method is "" where the client closed."""
    data = rest
    while b"\r\n\r\n" not in data:
        part = client.recv(1 << 16)
        if not part:
            return "", "", b""
        data += part
        if not data[:1].isalpha():
            raise ValueError("no HTTP")
    head, _, rest = data.partition(b"\r\n\r\n")
    length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(rest) < length:
        rest += client.recv(1 << 16)
    method, path, _ = head.split(b"\r\n")[0].decode("latin-1").split(" ", 2)
    if b"\r\nupgrade: websocket" in head.lower():
        method = "UPGRADE"
    return method, path, rest[length:]


def write(path: str, mebibytes: int) -> bytes:
    """Append to a file, synchronously (O_SYNC, open(2)); return what went wrong, and say it."""
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_SYNC, 0o644), "wb", buffering=0) as stream:
            for _ in range(mebibytes):
                stream.write(b"x" * (1 << 20))
    except OSError as error:
        say(f"{time.strftime('%Y-%m-%d %H:%M:%S')} ERROR {path}: {error}")
        return b"the order could not be kept\n"
    return b""


def app(client: socket.socket, told: argparse.Namespace) -> None:
    """Serve HTTP/1.1 with keepalive. Paths: /sleep/SECONDS, /status/CODE, /missing…, /big, /login (a big header), /crash,

    /exit/CODE, /hog/MIB (of memory, kept), /burn/SECONDS (of processor time), /write/MIB (to the file of --file, at once to the
    disk).
    """
    rest, began = b"", True
    while True:
        waited = time.monotonic()
        client.settimeout(told.idle)
        try:
            method, path, rest = read_head(client, rest)
        except TimeoutError:
            return
        except ValueError:
            client.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            return
        if not method:
            return
        if told.race and not began and time.monotonic() - waited > told.race:
            return  # its idle timer fired while the request was on its way
        began = False
        at = time.monotonic()
        parts = path.strip("/").split("?")[0].split("/")
        status, extra, body = 200, "", b"ok\n"
        with LOCK:
            pass
        time.sleep(float(parts[1]) if parts[0] == "sleep" else told.delay)
        if parts[0] == "crash":
            signal.pthread_kill(threading.get_ident(), signal.SIGSEGV)  # this thread itself: at once
        elif parts[0] == "exit":
            os._exit(int(parts[1]))
        elif parts[0] == "hog":
            KEPT.append(b"x" * (int(parts[1]) << 20))
        elif parts[0] == "burn":
            end = time.thread_time() + float(parts[1])
            while time.thread_time() < end:
                pass
        elif parts[0] == "write":
            body = write(told.file, int(parts[1]))
            status = 502 if body else 200
        elif parts[0] == "status" or told.status:
            status, body = told.status or int(parts[1]), b"the application is not well\n"
        elif parts[0] == "missing":
            status, body = 404, b"no such page\n"
        elif parts[0] == "big":
            body = b"x" * (4 << 20)
        elif parts[0] == "login":
            extra = COOKIES
        elif method == "UPGRADE":
            client.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n\x81\x02hi\x88\x00"
            )
            return
        head = f"HTTP/1.1 {status} Told\r\nServer: lab\r\nContent-Type: text/plain\r\n{extra}Content-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + (b"" if method == "HEAD" else body))
        say(f"{method} {path} {status} in {time.monotonic() - at:.3f} s")


def hang(client: socket.socket, _: argparse.Namespace) -> None:
    """Read, and never answer."""
    while client.recv(1 << 16):
        pass


def close(client: socket.socket, _: argparse.Namespace) -> None:
    """Read the request and close without an answer."""
    read_head(client)


def half(client: socket.socket, _: argparse.Namespace) -> None:
    """Close in the middle of the response header."""
    read_head(client)
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/pl")


def reset(client: socket.socket, _: argparse.Namespace) -> None:
    """Read the request and reset the connection."""
    read_head(client)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def truncate(client: socket.socket, _: argparse.Namespace) -> None:
    """Announce a body and close in the middle of it."""
    read_head(client)
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100000\r\n\r\n" + b"x" * 1000)


def truncate_chunked(client: socket.socket, _: argparse.Namespace) -> None:
    """Send a chunked body without its last chunk."""
    read_head(client)
    client.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")


def truncate_reset(client: socket.socket, told: argparse.Namespace) -> None:
    """Announce a body and reset the connection in the middle of it, once the first part was taken."""
    truncate(client, told)
    time.sleep(0.1)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def stall(client: socket.socket, told: argparse.Namespace) -> None:
    """Announce a body, send a part of it, and the rest never."""
    truncate(client, told)
    hang(client, told)


def bad_header(client: socket.socket, _: argparse.Namespace) -> None:
    """Send a header line without a colon."""
    read_head(client)
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX Powered By us\r\n\r\nok\n")


def nul_header(client: socket.socket, _: argparse.Namespace) -> None:
    """Send a NUL byte within a header value."""
    read_head(client)
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Id: a\x00b\r\n\r\nok\n")


def bad_status_line(client: socket.socket, _: argparse.Namespace) -> None:
    """Begin with something that is almost a status line."""
    read_head(client)
    client.sendall(b"HTTP/1.1 OK 200\r\nContent-Length: 3\r\n\r\nok\n")


def no_status_line(client: socket.socket, _: argparse.Namespace) -> None:
    """Answer with the bare body."""
    read_head(client)
    client.sendall(b"<html><body>hello</body></html>\n")


def big_header(client: socket.socket, told: argparse.Namespace) -> None:
    """Answer with a header of 7 KiB, or as long as told."""
    read_head(client)
    line = COOKIES.partition("\n")[0].encode() + b"\n"
    lines = line * ((told.header << 10) // len(line)) or COOKIES.encode()
    client.sendall(b"HTTP/1.1 200 OK\r\n" + lines + b"Content-Length: 3\r\n\r\nok\n")


def h2(client: socket.socket, _: argparse.Namespace) -> None:
    """Speak HTTP/2 only (RFC 9113): SETTINGS at once, GOAWAY with PROTOCOL_ERROR for another preface,
    else 200 for each request.
    """
    client.sendall(b"\0\0\0\x04\0\0\0\0\0")
    data = client.recv(1 << 16)
    if not data.startswith(b"PRI * HTTP/2.0"):
        client.sendall(b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01")
        return
    data = data[24:]
    client.sendall(b"\0\0\0\x04\x01\0\0\0\0")
    while True:
        while len(data) < 9 or len(data) < 9 + int.from_bytes(data[:3]):
            part = client.recv(1 << 16)
            if not part:
                return
            data += part
        kind, stream = data[3], data[5:9]
        data = data[9 + int.from_bytes(data[:3]) :]
        if kind == 1:  # HEADERS; the answer ends headers and stream, and is the 8th entry of HPACK's static table: status 200
            client.sendall(b"\0\0\x01\x01\x05" + stream + b"\x88")


def uwsgi(client: socket.socket, _: argparse.Namespace) -> None:
    """Speak the uwsgi protocol: 4 bytes (modifier, size in little endian, modifier), then so many; else close, as uWSGI does."""
    data = client.recv(1 << 16)
    if len(data) >= 4 and data[0] == 0 and len(data) >= 4 + struct.unpack("<H", data[1:3])[0]:
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")


DOES: dict[str, Callable[[socket.socket, argparse.Namespace], None]] = {
    function.__name__.replace("_", "-"): function
    for function in (
        app,
        hang,
        close,
        half,
        reset,
        truncate,
        truncate_chunked,
        truncate_reset,
        stall,
        bad_header,
        nul_header,
        bad_status_line,
        no_status_line,
        big_header,
        h2,
        uwsgi,
    )
}


def tls_context(told: argparse.Namespace) -> ssl.SSLContext:
    """Return the TLS side of the server: certificate and key in one file, lowest version, whether it insists on SNI."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(told.tls)
    context.minimum_version = ssl.TLSVersion(getattr(ssl.TLSVersion, told.tls_min))

    def refuse_nameless(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> int | None:
        return None if name == told.sni else ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

    if told.sni:
        context.sni_callback = refuse_nameless
    return context


def serve(client: socket.socket, told: argparse.Namespace, context: ssl.SSLContext | None) -> None:
    """Serve one connection to its end."""
    try:
        with client:
            if context:
                with context.wrap_socket(client, server_side=True) as secure:
                    DOES[told.does](secure, told)
            else:
                DOES[told.does](client, told)
    except (OSError, ValueError):
        pass


def oversee(workers: int) -> None:
    """Return in each of the worker processes; the parent stays here, and replaces those that die."""
    running = 0
    while True:
        while running < workers:
            if os.fork() == 0:
                return
            running += 1
        pid, status = os.wait()
        running -= 1
        how = f"was sent {signal.Signals(os.WTERMSIG(status)).name}!" if os.WIFSIGNALED(status) else "exited with code 1"
        say(f"{time.strftime('[%Y-%m-%d %H:%M:%S %z]')} [{os.getpid()}] [ERROR] Worker (pid:{pid}) {how}")


def main() -> None:
    """Listen and serve: a thread for each connection, or a fixed number of them (`--workers`)."""
    parser = argparse.ArgumentParser()
    parser.add_argument("listen")
    parser.add_argument("--does", choices=sorted(DOES), default="app")
    parser.add_argument("--backlog", type=int, default=128)
    parser.add_argument("--mode", type=lambda text: int(text, 8), default=0o666, help="of a unix socket")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--fork", type=int, default=0, help="worker processes below a parent that replaces them")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--status", type=int, default=0, help="answer always this")
    parser.add_argument("--idle", type=float, default=75.0, help="seconds that an idle connection is kept")
    parser.add_argument(
        "--race", type=float, default=0.0, help="close instead of serving a later request after so many idle seconds"
    )
    parser.add_argument("--join", default="", help="file to write its process id to first: cgroup.procs of a control group")
    parser.add_argument("--file", default="/run/shop/orders", help="for /write")
    parser.add_argument("--header", type=int, default=0, help="KiB of header that big-header answers with")
    parser.add_argument("--tls", default="", help="PEM file with certificate and key")
    parser.add_argument("--tls-min", default="TLSv1_2")
    parser.add_argument("--sni", default="", help="the only server name that is served")
    told = parser.parse_args()
    if told.join:
        with open(told.join, "w") as group:
            group.write(str(os.getpid()))
    server = listening(told.listen, told.backlog, told.mode)
    context = tls_context(told) if told.tls else None
    say(f"listening on {told.listen}, pid {os.getpid()}")

    def work() -> None:
        while True:
            serve(server.accept()[0], told, context)

    signal.signal(signal.SIGUSR1, lambda *_: bool(LOCK.acquire()))
    if told.fork:
        oversee(told.fork)
    for _ in range(max(0, told.workers - 1)):
        Thread(target=work, daemon=True).start()
    if told.workers:
        work()
    while True:
        Thread(target=serve, args=(server.accept()[0], told, context), daemon=True).start()


if __name__ == "__main__":
    main()
