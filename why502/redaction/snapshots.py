"""Removes secrets from a whole snapshot, in every field: a new field is covered without a change here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from why502.model.snapshot import Snapshot
from why502.redaction.known import LOOKED_AT, knowing, values_of
from why502.redaction.names import Promise, is_secret, promise
from why502.redaction.text import HIDDEN, in_place, merged, redact, spans

# In configuration text a secret is replaced by the same number of characters, so that offsets stay valid.
_IN_PLACE = frozenset({"text", "if_conditions"})
_PAIRS = frozenset({"headers"})  # pairs of a name and its value
_SETTINGS = "settings"  # settings of a route: directives by name, each with its arguments


def redacted(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot without secrets; in files with byte offsets every offset stays valid."""
    with knowing(secrets_in(snapshot)):
        return msgspec.convert(without_secrets(msgspec.to_builtins(snapshot)), Snapshot)


def secrets_in(*snapshots: Snapshot) -> Iterator[str]:
    """Yield the secret values found in configurations, commands and settings, so that they are masked elsewhere, too."""
    left = LOOKED_AT
    for snapshot in snapshots:
        texts = [file.text for proxy in snapshot.proxies or () for file in proxy.files]
        texts += [f"{name}={value}" for service in snapshot.services or () for name, value in service.settings.items()]
        texts += [f"{name}={value}" for pool in snapshot.php_pools or () for name, value in pool.settings.items()]
        for text in texts:
            if (left := left - len(text)) > 0:
                yield from values_of(secrets_of(text))
        commands = [process.argv for process in snapshot.processes or ()]
        commands += [argv for service in snapshot.services or () for argv in (service.argv, service.start_argv)]
        for argv in commands:
            if any(len(word) > 7 for word in argv) and (left := left - sum(map(len, argv))) > 0:
                yield from values_of(
                    word for word, kept in zip(argv, redact_words(argv), strict=True) for word in _removed(word, kept)
                )


def worth_knowing(texts: Iterable[str | bytes]) -> Iterator[str]:
    """Yield the secret values found in files, so that they are masked elsewhere, too."""
    left = LOOKED_AT
    for content in texts:
        text = content.decode("utf-8", "surrogateescape") if isinstance(content, bytes) else content
        if (left := left - len(text)) > 0:
            yield from values_of(secrets_of(text))


def secrets_of(text: str) -> Iterator[str]:
    """Yield the secrets found in a text."""
    return (text[start:end] for start, end in spans(text))


def _removed(word: str, kept: str) -> Iterator[str]:
    """Yield the parts removed from a word."""
    if HIDDEN in kept:
        head, _, tail = kept.partition(HIDDEN)
        tail = tail.rpartition(HIDDEN)[2]
        yield word[len(head) : len(word) - len(tail)]


def without_secrets(value: Any, field: str = "") -> Any:
    """Return builtins (dict, list, str, …) with the secrets removed from every text in them, keys included."""
    if isinstance(value, dict):
        return {redact(key): _member(key, item, field) for key, item in value.items()}
    if isinstance(value, list | tuple):
        if field in _PAIRS and len(value) == 2 and all(isinstance(item, str) for item in value):
            return redact_pair(*value)
        if field not in _IN_PLACE and len(value) > 1 and all(isinstance(item, str) for item in value):
            return redact_words(value)
        return [without_secrets(item, field) for item in value]
    if isinstance(value, str):
        return in_place(value) if field in _IN_PLACE else redact(value)
    return value


def _member(key: str, item: Any, field: str) -> Any:
    if field == _SETTINGS and isinstance(item, list | tuple):
        return [_setting(key, one) for one in item]
    if isinstance(item, str) and promise(key) >= Promise.SECRET and is_secret(item, promise(key)) and key not in _IN_PLACE:
        return HIDDEN
    return without_secrets(item, key)


def _setting(directive: str, setting: Any) -> Any:
    """Return one occurrence of a directive, its arguments redacted as they would be after its name."""
    if not isinstance(setting, dict) or not isinstance(setting.get("args"), list | tuple):
        return without_secrets(setting)
    rest = {key: without_secrets(item, key) for key, item in setting.items() if key != "args"}
    return {"args": redact_words((directive, *setting["args"]))[1:], **rest}


def redact_pair(name: str, value: str) -> list[str]:
    """Return a name and its value; the value is removed if the name means a secret."""
    expected = promise(name)
    if expected and is_secret(value, expected):
        return [redact(name), HIDDEN]
    return [redact(name), redact(value)]


def redact_words(words: Sequence[str]) -> list[str]:
    """Return the words of a command or directive without secrets, each checked alone and as the value of the word before."""
    places, position = [], 0
    parts: list[str] = []
    for word in words:
        quote = '"' if not word or any(char in " \t\n;{}" for char in word) else ""
        places.append((position + len(quote), word))
        parts.append(f"{quote}{word}{quote}")
        position += len(parts[-1]) + 1
    found = spans(" ".join(parts))
    result = []
    for start, word in places:
        own: Iterable[tuple[int, int]] = (
            (max(begin - start, 0), min(end - start, len(word)))
            for begin, end in found
            if begin < start + len(word) and end > start
        )
        result.append(_cut(word, merged((*own, *spans(word)), word)))
    return [redact(word) for word in result]


def _cut(word: str, found: list[tuple[int, int]]) -> str:
    out, position = [], 0
    for start, end in found:
        out += [word[position:start], HIDDEN]
        position = end
    return "".join(out) + word[position:]
