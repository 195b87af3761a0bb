"""Sends incidents by e-mail. All messages about an incident refer to the first, whose Message-ID is made of the incident's id."""

from __future__ import annotations

import hashlib
import smtplib
import socket
import time
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from why502.watch.message import page, plain, text
from why502.watch.notify.base import Notice, Undelivered, reason_of, secret
from why502.watch.notify.connection import connect, failure_of, tls
from why502.watch.notify.email.settings import PORTS, Security, Settings


def make(settings: Settings) -> tuple[Email, ...]:
    """Return the receiver."""
    return (Email(settings),)


class Email:
    """One SMTP server, and the addresses that are written to."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def send(self, notice: Notice) -> str:
        """Send one message. Return the Message-ID of the incident's first message. Raises Undelivered."""
        message = compose(notice, self.settings)
        deadline_s = time.monotonic() + self.settings.timeout_s
        password = secret(self.settings.password_file) if self.settings.user else ""
        try:
            with _Server(self.settings, deadline_s) as server:
                self._greet(server, password, deadline_s)
                server.send_message(message, self.settings.sender, list(self.settings.to))
        except smtplib.SMTPRecipientsRefused as error:
            raise Undelivered(f"{self.settings.host}: no address was accepted") from error
        except smtplib.SMTPResponseException as error:
            raise Undelivered(f"{self.settings.host}: {_answer(error, password)}", is_final=_is_final(error)) from error
        except (OSError, smtplib.SMTPException, ValueError) as error:
            reason = (
                "the server closed the connection" if isinstance(error, smtplib.SMTPServerDisconnected) else failure_of(error)
            )
            raise Undelivered(f"{self.settings.host}: {reason}") from error
        return notice.thread or str(message["Message-ID"])

    def _greet(self, server: smtplib.SMTP, password: str, deadline_s: float) -> None:
        server.ehlo_or_helo_if_needed()
        if self.settings.security is Security.STARTTLS:
            if not server.has_extn("starttls"):
                raise Undelivered(
                    f"{self.settings.host}: the server does not offer STARTTLS, and nothing is sent without encryption"
                )
            server.starttls(context=tls(deadline_s, self.settings.ca_file))
            server.ehlo_or_helo_if_needed()
        if self.settings.user:
            server.login(self.settings.user, password)


class _Server(smtplib.SMTP):
    """A connection that ends by a time, encrypted from the start where that is set."""

    def __init__(self, settings: Settings, deadline_s: float) -> None:
        self._settings = settings
        self._deadline_s = deadline_s
        port = settings.port or PORTS[settings.security]
        # Its own choice of a name asks a name server, which has no time limit.
        super().__init__(settings.host, port, local_hostname=_own_name(), timeout=settings.timeout_s)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:  # noqa: ARG002 - of smtplib
        plain_socket = connect(host, port, self._deadline_s)
        if self._settings.security is not Security.TLS:
            return plain_socket
        return tls(self._deadline_s, self._settings.ca_file).wrap_socket(plain_socket, server_hostname=host)


def _own_name() -> str:
    name = socket.gethostname()
    return name if name.isascii() and name.replace("-", "").replace(".", "").isalnum() else "localhost"


def _answer(error: smtplib.SMTPResponseException, password: str) -> str:
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return f"answered {error.smtp_code}: the user or the password was not accepted"
    answer = error.smtp_error.decode("utf-8", "replace") if isinstance(error.smtp_error, bytes) else str(error.smtp_error)
    return f"answered {error.smtp_code}: {reason_of(answer, (password,))}"


def _is_final(error: smtplib.SMTPResponseException) -> bool:
    """Return whether the server refused this message, not the connection or the sender: 5xx in answer to the data (RFC 5321)."""
    return isinstance(error, smtplib.SMTPDataError) and 500 <= error.smtp_code < 600


def compose(notice: Notice, settings: Settings) -> EmailMessage:
    """Return the message: text first, then the same as HTML."""
    words = text(notice)
    domain = settings.sender.rpartition("@")[2]
    root = notice.thread or _message_id(notice.incident.id, settings, domain)
    message = EmailMessage(policy=SMTP)
    message["From"] = settings.sender
    message["To"] = ", ".join(settings.to)
    message["Subject"] = words.title
    message["Date"] = format_datetime(notice.at)
    message["Message-ID"] = root if notice.is_first else _message_id(notice.key, settings, domain)
    if not notice.is_first:
        message["In-Reply-To"] = root
        message["References"] = root
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence is answered
    message["X-Auto-Response-Suppress"] = "All"
    message["X-Why502-Key"] = _token(notice.key)
    message.set_content(plain(words))
    message.add_alternative(page(words), subtype="html")
    return message


def _message_id(key: str, settings: Settings, domain: str) -> str:
    """Return the Message-ID for a key: the same each time it is sent, so that a server can drop a repetition."""
    digest = hashlib.sha256(f"{settings.name} {key}".encode("utf-8", "replace")).hexdigest()[:24]
    return f"<why502.{digest}@{domain}>"


def _token(key: str) -> str:
    return "".join(one if one.isascii() and one.isprintable() else "?" for one in key[:100])
