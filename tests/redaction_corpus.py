"""The corpus of secrets and of look-alikes in tests/data/redaction: reads its files and fills in its values."""

from __future__ import annotations

import base64
import random
import re
import string
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

DATA = Path(__file__).parent / "data" / "redaction"
_VALUE = re.compile(r"%(an|AN|hex|HEX|dig|b64_|url|pw|uuid)([0-9]{0,3})%")
_MARKED = re.compile(r"⟦([^⟧]*)⟧")
WINDOW = 8  # characters of a secret that must not appear together; of a shorter one all
# Typical passwords: words with digits, leetspeak, generated ones with and without punctuation.
_PASSWORDS: tuple[Callable[[random.Random], str], ...] = (
    lambda r: r.choice(("hunter", "dragon", "sunshine", "Kestrel", "wombat")) + str(r.randrange(10, 9999)),
    lambda r: r.choice(("S3cr3t", "Pa55w0rd", "Adm1n", "Qw3rty")) + r.choice("!?#*") + str(r.randrange(100)),
    lambda r: "-".join(r.sample(("correct", "horse", "battery", "staple", "tulip", "orbit", "melon"), 4)),
    lambda r: "".join(r.choices(string.ascii_letters + string.digits, k=16)),
    lambda r: "".join(r.choices(string.ascii_letters + string.digits + "!*+._~-", k=14)) + "x7",
    lambda r: "".join(r.choices(string.ascii_lowercase, k=9)),
)


@dataclass(frozen=True, slots=True)
class Item:
    """One text of the corpus; `secrets` is empty for a look-alike."""

    kind: str
    text: str
    secrets: tuple[str, ...]
    where: str  # file:line

    def leaks(self, shown: str) -> tuple[str, ...]:
        """Return the secrets of which `shown` contains WINDOW consecutive characters, or all of a shorter one."""
        return tuple(secret for secret in self.secrets if any(part in shown for part in parts(secret)))


def parts(text: str) -> set[str]:
    """Return the sensitive parts of a secret; of a text, those that it shows."""
    return {text[start : start + WINDOW] for start in range(max(len(text) - WINDOW, 0) + 1)}


def read(name: str, *, seed: int = 0) -> list[Item]:
    """Return the items of a file of the corpus, its values drawn from `seed`."""
    items = []
    for number, line in enumerate((DATA / name).read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("#") or not line:
            continue
        kind, _, written = line.partition("\t")
        draw = random.Random(f"{seed}:{name}:{number}:{written}")
        filled = _VALUE.sub(lambda found, draw=draw: value(found[1], int(found[2] or 0), draw), written)
        filled = re.sub(r"(?<!\\)((?:\\\\)*)\\([nr])", lambda m: m[1] + ("\n" if m[2] == "n" else "\r"), filled)
        secrets = tuple(dict.fromkeys(_MARKED.findall(filled)))
        items.append(Item(kind, filled.replace("⟦", "").replace("⟧", ""), secrets, f"{name}:{number}"))
    return items


def value(kind: str, length: int, draw: random.Random) -> str:
    """Return a value of the kind named by %kindLENGTH%."""
    if kind == "pw":
        return draw.choice(_PASSWORDS)(draw)
    if kind == "uuid":
        return str(uuid.UUID(int=draw.getrandbits(128), version=4))
    if kind in ("b64_", "url"):
        raw = draw.randbytes(length)
        text = base64.b64encode(raw) if kind == "b64_" else base64.urlsafe_b64encode(raw)
        return text.decode()[:length]
    alphabet = {
        "an": string.ascii_letters + string.digits,
        "AN": string.ascii_uppercase + string.digits,
        "hex": "0123456789abcdef",
        "HEX": "0123456789ABCDEF",
        "dig": string.digits,
    }[kind]
    return "".join(draw.choices(alphabet, k=length))


FIRST_RUN = """\
| first run, with the earlier rules and the new corpus | 478 | 213 (44.6 %) | 466 | 19 (4.1 %) |"""


def figures(seeds: int = 5) -> str:
    """Return the table of docs/redaction.md: spellings that are masked, and look-alikes that are masked,
    over values of several draws.
    """
    from why502.redaction import redact

    spellings = [item for seed in range(seeds) for item in read("secrets.txt", seed=seed)]
    masked = sum(not item.leaks(redact(item.text)) for item in spellings)
    harmless = [item for seed in range(seeds) for item in read("harmless.txt", seed=seed)]
    wrong = sum(redact(item.text) != item.text for item in harmless)
    return "\n".join(
        (
            "| | spellings | masked (recall) | look-alikes | masked wrongly |",
            "| --- | --- | --- | --- | --- |",
            FIRST_RUN,
            f"| now, {seeds} random values for each | {len(spellings)} | {masked} ({masked / len(spellings):.1%}) | "
            f"{len(harmless)}"
            f" | {wrong} ({wrong / len(harmless):.1%}) |".replace("%)", " %)"),
        )
    )
