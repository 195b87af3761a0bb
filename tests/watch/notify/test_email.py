"""E-mail through a real SMTP server, with STARTTLS, TLS and authentication."""

from __future__ import annotations

import email
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from notify_scenes import HOSTILE, certificate, closed, hostile, incident, notice

from why502.watch.model import Transition
from why502.watch.notify.base import Undelivered
from why502.watch.notify.email.receiver import Email
from why502.watch.notify.email.settings import Settings

pytestmark = pytest.mark.real

PASSWORD = "Zq8v-topsecret"


@dataclass
class Mailbox:
    """What a server took, and how it answers."""

    port: int = 0
    envelopes: list[Envelope] = field(default_factory=list)
    was_encrypted: list[bool] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)  # by command

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        if "RCPT" in self.answers:
            return self.answers["RCPT"]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if "DATA" in self.answers:
            return self.answers["DATA"]
        self.envelopes.append(envelope)
        self.was_encrypted.append(session.ssl is not None or server.transport.get_extra_info("ssl_object") is not None)
        return "250 OK"

    @property
    def messages(self) -> list[EmailMessage]:
        parsed = [email.message_from_bytes(one.original_content or b"", policy=default) for one in self.envelopes]
        return [one for one in parsed if isinstance(one, EmailMessage)]


def authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    assert isinstance(data, LoginPassword)
    return AuthResult(success=(data.login, data.password) == (b"ops", PASSWORD.encode()), handled=False)


@contextmanager
def smtp(pem: Path | None = None, *, is_tls: bool = False, has_login: bool = False) -> Iterator[Mailbox]:
    """Run an SMTP server; with STARTTLS or TLS if there is a certificate."""
    mailbox = Mailbox()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if pem:
        context.load_cert_chain(pem)
    options: dict[str, Any] = (
        {"ssl_context": context} if is_tls else {"tls_context": context, "require_starttls": True} if pem else {}
    )
    if has_login:
        options |= {"authenticator": authenticate, "auth_required": True, "auth_require_tls": not is_tls}

    class OnAnyPort(Controller):
        def _trigger_server(self) -> None:  # connects to the port that the kernel chose
            self.port = mailbox.port = self.server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
            super()._trigger_server()

    controller = OnAnyPort(mailbox, hostname="127.0.0.1", port=0, **options)
    controller.start()
    try:
        yield mailbox
    finally:
        controller.stop()


def sender(port: int, **changes: Any) -> Email:
    values = {
        "kind": "email",
        "name": "mail",
        "host": "127.0.0.1",
        "port": port,
        "from": "why502@web1.example",
        "to": ["ops@example.org", "on-call@example.org"],
        "security": "none",
        "timeout_s": 3.0,
    }
    return Email(msgspec.convert({**values, **changes}, Settings))


def failure(one: Email) -> Undelivered:
    with pytest.raises(Undelivered) as caught:
        one.send(notice())
    return caught.value


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("certificates"), "mail")


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\n")
    return path


def test_the_messages_about_an_incident_are_one_thread() -> None:
    with smtp() as mailbox:
        one = sender(mailbox.port)
        thread = one.send(notice(link="https://why502.example/incidents/7K3F"))
        again = one.send(notice(closed(incident()), Transition.RESOLVED, key="7K3F.2", thread=thread, is_first=False))
    first, second = mailbox.messages
    assert thread == again == first["Message-ID"]
    assert first["References"] is None
    assert second["References"] == second["In-Reply-To"] == first["Message-ID"]
    assert second["Message-ID"] != first["Message-ID"]
    assert first["Subject"] == "PAGE web1: 502 from shop.example/, wrong-port"
    assert second["Subject"] == "RESOLVED web1: 502 from shop.example/, wrong-port"
    assert {one["Auto-Submitted"] for one in (first, second)} == {"auto-generated"}
    assert (first["From"], first["To"]) == ("why502@web1.example", "ops@example.org, on-call@example.org")
    assert mailbox.envelopes[0].rcpt_tos == ["ops@example.org", "on-call@example.org"]
    assert [part.get_content_type() for part in first.iter_parts()] == ["text/plain", "text/html"]
    body = first.get_body(("plain",))
    assert body
    assert "The gateway's own test accepts a copy with this change." in body.get_content()
    assert all(len(line) <= 998 for line in (mailbox.envelopes[0].original_content or b"").split(b"\r\n"))


def test_the_same_message_sent_again_has_the_same_id() -> None:
    with smtp() as mailbox:
        for _ in range(2):
            sender(mailbox.port).send(notice(closed(incident()), Transition.RESOLVED, key="7K3F.2", is_first=False))
    first, second = mailbox.messages
    assert first["Message-ID"] == second["Message-ID"]


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")  # the whole connection is TLS
@pytest.mark.parametrize("is_tls", [False, True], ids=["STARTTLS", "TLS"])
def test_the_connection_is_encrypted_before_the_password_is_sent(pem: Path, password: Path, is_tls: bool) -> None:
    security = {"security": "tls" if is_tls else "starttls", "ca_file": str(pem)}
    with smtp(pem, is_tls=is_tls, has_login=True) as mailbox:
        sender(mailbox.port, **security, user="ops", password_file=str(password)).send(notice())
        assert mailbox.was_encrypted == [True]
        error = failure(sender(mailbox.port, **{**security, "ca_file": ""}))
        assert error.reason == "127.0.0.1: TLS: self-signed certificate"
        password.write_text("not-the-password-at-all")
        error = failure(sender(mailbox.port, **security, user="ops", password_file=str(password)))
        assert error.reason == "127.0.0.1: answered 535: the user or the password was not accepted"
        assert not error.is_final
        assert len(mailbox.envelopes) == 1


def test_nothing_is_sent_to_a_server_without_the_encryption_that_is_set() -> None:
    with smtp() as mailbox:
        assert "does not offer STARTTLS" in failure(sender(mailbox.port, security="starttls")).reason
        assert mailbox.envelopes == []


@pytest.mark.parametrize(
    ("answers", "reason", "is_final"),
    [
        ({"DATA": "554 no viruses please"}, "127.0.0.1: answered 554: no viruses please", True),
        ({"DATA": "451 later"}, "127.0.0.1: answered 451: later", False),
        ({"RCPT": "550 nobody of that name"}, "127.0.0.1: no address was accepted", False),
    ],
)
def test_what_the_server_refuses(answers: dict[str, str], reason: str, is_final: bool) -> None:
    with smtp() as mailbox:
        mailbox.answers = answers
        error = failure(sender(mailbox.port))
        assert (error.reason, error.is_final) == (reason, is_final)


@contextmanager
def speaking(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Run a server that does as told with its one connection; yield its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with listener.accept()[0] as client:
                serve(client)

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]


def test_a_server_that_misbehaves_costs_no_more_than_the_time_limit() -> None:
    over = threading.Event()

    def silent(_: socket.socket) -> None:
        over.wait(30)

    def dripping(client: socket.socket) -> None:
        client.sendall(b"220-")
        while not over.wait(0.1):
            try:
                client.sendall(b"z")
            except OSError:
                return

    def leaving(_: socket.socket) -> None:
        pass

    def nonsense(client: socket.socket) -> None:
        client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    for serve in (silent, dripping, leaving, nonsense):
        with speaking(serve) as port:
            started_s = time.monotonic()
            error = failure(sender(port, timeout_s=1.0))
            assert time.monotonic() - started_s < 3
            assert error.reason.startswith("127.0.0.1")
            assert not error.is_final
    over.set()


@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_strangers_adds_no_header_and_no_markup(text: str) -> None:
    with smtp() as mailbox:
        sender(mailbox.port).send(notice(hostile(text), key=f"7K3F.1{text[:50]}"))
        sender(mailbox.port).send(notice(hostile(text), link="https://why502.example/", is_first=False, key=text[:200]))
    for message in mailbox.messages:
        assert set(message) <= {
            "From", "To", "Subject", "Date", "Message-ID", "In-Reply-To", "References", "Auto-Submitted",
            "X-Auto-Response-Suppress",
            "X-Why502-Key", "MIME-Version", "Content-Type", "X-Peer", "X-MailFrom", "X-RcptTo",
        }  # fmt: skip
        assert message["To"] == "ops@example.org, on-call@example.org"
        assert len(message["Subject"]) <= 160  # folds add spaces
        marked = message.get_body(("html",))
        assert marked
        assert "<script" not in marked.get_content()
        assert "<img" not in marked.get_content()
    assert {tuple(one.rcpt_tos) for one in mailbox.envelopes} == {("ops@example.org", "on-call@example.org")}
