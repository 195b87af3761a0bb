"""An application for the proof. Usage: app.py ADDRESS PORT IDLE_S. It writes one line for each request to standard output.

/hang never answers, /header/N answers with a header of N bytes, /ws upgrades and echoes; every other path answers its address.
SIGTERM: no new connections; requests in progress are finished.
"""

from __future__ import annotations

import asyncio
import signal
import sys

ADDRESS, PORT, IDLE_S = sys.argv[1], sys.argv[2], float(sys.argv[3])


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), IDLE_S):
            await answer(head, reader, writer)
            if stopping.is_set():
                break
    except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def answer(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    line, *fields = head.decode("latin-1").split("\r\n")
    method, path, _ = line.split(" ")
    headers = dict(field.lower().split(": ", 1) for field in fields if ": " in field)
    await reader.readexactly(int(headers.get("content-length", "0")))
    print(method, path, flush=True)
    if path == "/hang":
        await asyncio.sleep(3600)
    if path == "/slow":
        await asyncio.sleep(0.3)
    if path == "/ws":
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        while data := await reader.read(1024):
            writer.write(data)
        return
    large = f"X-Large: {'x' * int(path.rpartition('/')[2])}\r\n" if path.startswith("/header/") else ""
    last = "Connection: close\r\n" if stopping.is_set() else ""
    body = f"{ADDRESS}:{PORT}".encode()
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{large}{last}\r\n".encode() + body)
    await writer.drain()


async def main() -> None:
    server = await asyncio.start_server(serve, ADDRESS, int(PORT), limit=1 << 20, reuse_address=True)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    print("ready", flush=True)
    await stopping.wait()
    server.close()
    pending = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    if pending:
        await asyncio.wait(pending, timeout=0.5)  # idle connections are closed after that


stopping = asyncio.Event()
asyncio.run(main())
