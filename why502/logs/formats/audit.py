"""SELinux, AppArmor and seccomp denials: audit.log, `ausearch -i`, the journal, the kernel log, and setroubleshoot's messages.

Before kernel 3.16 an AVC has no `permissive=`. With permissive=1, and with AppArmor's ALLOWED, nothing was denied: no symptom.
Sources: security/selinux/avc.c, security/apparmor/audit.c, kernel/auditsc.c (comm is hexadecimal if it contains a space or a
quote).
"""

from __future__ import annotations

import re

import msgspec

from why502.logs.phrases import record, share
from why502.model.logs import LogRecord, Phase, Symptom
from why502.model.patterns import lazy
from why502.model.target import Target
from why502.model.times import whole_number

NAME = "audit"
MARKS = (b"avc: ", b"apparmor=", b"type=1326", b"type=SECCOMP", b"SECCOMP ", b"SELinux is preventing ")
_AVC = lazy(r"avc: {1,2}(?P<verdict>denied|granted) {1,2}\{ (?P<code>[^}]{0,400}) \} (?:for )?(?P<rest>.*)")
_APPARMOR = lazy(r'apparmor="?(?P<verdict>[A-Z]+)"? (?P<rest>.*)')
_SECCOMP = lazy(r"(?:type=(?:1326|SECCOMP)|\bSECCOMP )(?P<rest>.{0,800}?\bsig=(?P<signal>[0-9]{1,9}).*)")
_SENTENCE = lazy(
    r"SELinux is preventing (?P<exe>\S{1,200})(?: \([^)]{0,100}\))? from (?P<detail>(?:using the )?(?P<code>[\w, ]{1,100}?) access on the (?P<object>.{0,300}?)\.(?: |$))"
)
_PAIR = lazy(r'(?<!\w)(\w+)=("[^"]{0,2000}"|\{[^}]{0,400}\}|[^\s"]+)')
_HEAD = lazy(r"type=[A-Z_0-9]+ msg=audit\(|\Anode=\S+ type=|audit: type=1\d{3} audit\(|audit\[\d+\]: ")
_HEX = lazy(r"(?:[0-9A-F]{2}){2,}")
_KEEP = ("dest", "src", "name", "path", "family", "sock_type", "tclass", "scontext", "tcontext", "permissive")
_KEEP_ARMOR = ("profile", "name", "info", "error", "family", "sock_type", "requested_mask", "denied_mask", "peer")


def fits(sample: list[str]) -> float:
    """Return the share of lines that are audit records."""
    return share(sample, lambda line: _HEAD.search(line) or parse(line))


def parse(line: str) -> LogRecord | None:
    """Return a denial; None for all other records.

    `code` is the denied operation (`name_connect`, `create`), `process` and `process_pid` the program, `file` a path, `target` a
    port or socket (with an empty host if the record has only the port), and `detail` the words of the record that give the
    reason: its contexts or its profile.
    """
    line = line[:4096]
    if match := _AVC.search(line):
        given = _pairs(match["rest"])
        denied = match["verdict"] == "denied" and given.get("permissive") != "1"
        return _record_of(line, Symptom.SELINUX_DENIED if denied else None, match["code"], given, _KEEP)
    if match := _APPARMOR.search(line):
        if match["verdict"] not in {"DENIED", "ALLOWED"}:
            return None
        given = _pairs(match["rest"])
        symptom = Symptom.APPARMOR_DENIED if match["verdict"] == "DENIED" else None
        return _record_of(line, symptom, given.get("operation", ""), given, _KEEP_ARMOR)
    if (match := _SECCOMP.search(line)) and match["signal"] != "0":
        given = _pairs(match["rest"])
        return _record_of(
            line, Symptom.SANDBOX_DENIED, f"syscall {given.get('syscall', '')}", given, ("sig", "arch", "syscall", "exe")
        )
    if match := _SENTENCE.search(line):
        given = {"comm": match["exe"].rsplit("/", 1)[-1]}
        if port := re.search(r"\bport ([0-9]{1,5})\b", match["object"]):
            given["dest"] = port[1]
        found = _record_of(line, Symptom.SELINUX_DENIED, match["code"], given, ())
        return msgspec.structs.replace(found, detail=match["detail"].strip())
    return None


def _record_of(line: str, symptom: Symptom | None, code: str, given: dict[str, str], keep: tuple[str, ...]) -> LogRecord:
    words = " ".join(f'{key}="{given[key]}"' if " " in given[key] else f"{key}={given[key]}" for key in keep if key in given)
    groups = {"code": code, "process": given.get("comm") or given.get("exe", "").rsplit("/", 1)[-1], "pid": given.get("pid")}
    found = record(line, NAME, symptom, Phase.CONNECT if "connect" in code else Phase.PROCESS, groups)
    path = given.get("path") or given.get("name", "")
    return msgspec.structs.replace(found, detail=f"{code} {words}".strip(), file=path, target=_target(code, path, given))


def _target(code: str, path: str, given: dict[str, str]) -> Target | None:
    port = given.get("dest") or (given.get("src", "") if "bind" in code else "")
    if 0 < (known := whole_number(port, 5) or 0) < 65536:
        return Target(host=given.get("daddr", given.get("laddr", "")), port=known)
    if path.startswith("/") and (
        given.get("tclass", "").endswith(("sock_file", "stream_socket")) or code in {"connect", "connectto"}
    ):
        return Target(path=path)
    return None


def _pairs(text: str) -> dict[str, str]:
    """Return the key=value pairs. For a repeated key the first counts; a bare hexadecimal comm, name or path is decoded."""
    given: dict[str, str] = {}
    for key, value in _PAIR.findall(text):
        # A quoted value does not match because of its quotes
        if key in {"comm", "name", "path", "exe"} and _HEX.fullmatch(value):
            given.setdefault(key, bytes.fromhex(value).split(b"\0")[0].decode(errors="replace"))
        else:
            given.setdefault(key, value.strip('"'))
    return given
