"""Sends incidents through Apprise, in a process of its own: it has no time limit over all, and is large."""

from __future__ import annotations

import json
import subprocess
import sys

from why502.watch.message import plain, text
from why502.watch.notify.apprise.settings import Settings
from why502.watch.notify.base import Notice, Undelivered, reason_of, secret

# Standard input: JSON. Standard output: what Apprise said if it failed.
_PROGRAM = """
import ctypes, io, json, logging, sys
ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG: ends with the thread that waits for it
given = json.load(sys.stdin)
said = io.StringIO()
logging.getLogger("apprise").addHandler(logging.StreamHandler(said))
import apprise
sender = apprise.Apprise()
if not sender.add(given["url"]):
    print("Apprise does not recognise the URL")
    sys.exit(2)
if not sender.notify(title=given["title"], body=given["body"], body_format="text"):
    print(said.getvalue())
    sys.exit(1)
"""


def make(settings: Settings) -> tuple[Apprise, ...]:
    """Return the receiver."""
    return (Apprise(settings),)


class Apprise:
    """One service."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def send(self, notice: Notice) -> str:
        """Send one message. Return "": there are no threads. Raises Undelivered."""
        url = secret(self.settings.url_file)
        words = text(notice)
        given = json.dumps({"url": url, "title": words.title, "body": plain(words)}).encode()
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-c", _PROGRAM],
                input=given,
                capture_output=True,
                timeout=self.settings.timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Undelivered(f"apprise: not sent within {self.settings.timeout_s:g} s") from error
        except OSError as error:
            raise Undelivered(f"apprise: {(error.strerror or 'cannot be started').lower()}") from error
        if done.returncode:
            written = done.stdout.decode("utf-8", "replace") or done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
            reason = reason_of(written, _parts(url))
            raise Undelivered(f"apprise: {reason or 'the service did not accept it'}")
        return ""


def _parts(url: str) -> tuple[str, ...]:
    """Return the parts of a URL that may be secrets, the longest first: Apprise repeats some of them."""
    parts = [part for piece in url.split("://")[-1].replace("?", "/").replace("&", "/").split("/") for part in piece.split("@")]
    return tuple(sorted((url, *(one for part in parts for one in part.split(":") if len(one) > 5)), key=len, reverse=True))
