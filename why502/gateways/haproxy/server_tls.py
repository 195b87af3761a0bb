"""HAProxy's TLS towards the servers of a backend: the file it trusts, the name it verifies and sends.

Source: doc/configuration.txt, 5.2 (server and default-server options) and 3.1 (ca-base, crt-base, ssl-server-verify).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from why502.machine.trusted_issuers import BUNDLES
from why502.model.config import SENDS_PROXY, Position, Setting

# Options with an argument; an unlisted option is treated as a single word. Source: doc/configuration.txt, 5.2.
_TAKES = frozenset(
    (
        "addr agent-addr agent-inter agent-port agent-send alpn ca-file ca-verify-file ca-sign-file check-alpn check-proto"
        " check-sni ciphers ciphersuites client-sigalgs cookie crl-file crt curves downinter error-limit fall fastinter id"
        " inter hash-key init-addr init-state log-bufsize log-proto maxconn maxqueue max-reuse minconn namespace npn observe"
        " on-error on-marked-down on-marked-up pool-low-conn pool-max-conn pool-purge-delay port proto proxy-v2-options redir"
        " resolve-net resolve-opts resolve-prefer resolvers rise sigalgs slowstart sni socks4 source ssl-max-ver ssl-min-ver"
        " tcp-md5sig tcp-ut track usesrc verify verifyhost weight ws"
    ).split()
)
_FLAGS = frozenset("agent-check backup check check-ssl check-send-proxy disabled send-proxy send-proxy-v2 ssl stick".split())
_OPPOSITES = {"enabled": "disabled", "non-stick": "stick"}
_OF_TLS = frozenset({"ssl", "ca-file", "ca-verify-file", "crt", "sni", "verifyhost", "verify", "alpn", "proto"})
_SYSTEM_CA = "@system-ca"


@dataclass(frozen=True, slots=True)
class Bases:
    """The settings in `global` shared by all servers."""

    ca: str = ""
    crt: str = ""
    verifies: bool = True


@dataclass(frozen=True, slots=True)
class ServerTls:
    """The TLS settings shared by all servers of a backend. `verifies` is False if they are unknown."""

    verifies: bool = False
    sni: str = ""
    settings: Mapping[str, tuple[Setting, ...]] = field(default_factory=dict)


def bases(lines: Iterable[tuple[str, ...]]) -> Bases:
    """Return the settings in the lines of the `global` sections."""
    given = {words[0]: words[1] for words in lines if len(words) > 1}
    return Bases(given.get("ca-base", ""), given.get("crt-base", ""), given.get("ssl-server-verify") != "none")


def options(words: Iterable[str], inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the options of a line by name, overriding those of `default-server`: the argument, or "" for an option without
    one.
    """
    found, rest = dict(inherited), iter(words)
    for name in rest:
        argument = next(rest, None) if name in _TAKES else None
        if argument is not None:
            found[name] = argument
        elif name in _FLAGS:
            found[name] = ""
        else:
            found.pop(_OPPOSITES.get(name, name.removeprefix("no-")), None)
    return found


def server_tls(every: list[dict[str, str]], base: Bases, at: Position | None) -> ServerTls:
    """Return the TLS settings for servers with these options; no verification if the servers differ."""
    first = every[0] if every else {}
    values: dict[str, str] = {}
    verifies = False
    if "ssl" in first and all(_tls_of(each) == _tls_of(first) for each in every):
        trusted = _trusted(first, base)
        verifies = first.get("verify", "required" if base.verifies else "none") == "required"
        certificate = _below(first.get("crt", ""), base.crt)
        values = {
            "ssl_trusted_certificate": trusted,
            "ssl_verified_name": first.get("verifyhost", ""),
            "ssl_certificate": certificate,
            "ssl_certificate_key": certificate,
        }
    settings = {f"server_{name}": (Setting(args=(value,), at=at),) for name, value in values.items() if value}
    sent = {"v2" if "send-proxy-v2" in each else "v1" if "send-proxy" in each else "" for each in every}
    if sent - {""}:
        settings[SENDS_PROXY] = (Setting(args=(sent.pop() if len(sent) == 1 else "",), at=at),)
    return ServerTls(verifies, _constant(first.get("sni", "")) if verifies else "", settings)


def _tls_of(given: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in given.items() if name in _OF_TLS}


def _trusted(given: Mapping[str, str], base: Bases) -> str:
    name = given.get("ca-verify-file") or given.get("ca-file", "")
    return BUNDLES[0] if name == _SYSTEM_CA else "" if name.startswith("@") else _below(name, base.ca)


def _below(path: str, base: str) -> str:
    """Return a path as HAProxy opens it; "" if it depends on its working directory at start."""
    if not path or path.startswith("/"):
        return path
    return f"{base.rstrip('/')}/{path}" if base.startswith("/") else ""


def _constant(expression: str) -> str:
    """Return the name in `sni str(NAME)`; "" if it comes from the client's request."""
    return expression[4:-1] if expression.startswith("str(") and expression.endswith(")") else ""
