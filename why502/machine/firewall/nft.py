"""The rules in `nft -j list ruleset`. Source: libnftables-json(5), nft(8)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from why502.model.firewall import Condition, FirewallRule, Subject, Verdict

MOST = 2_000  # rules that are kept
_DEEPEST = 8  # chains that jump to one another
_MOST_VALUES = 64  # of one condition
_MOST_TEXT = 300
_PAYLOADS = {("tcp", "dport"): Subject.PORT, ("th", "dport"): Subject.PORT}
_ADDRESSES = {"daddr": Subject.DESTINATION, "saddr": Subject.SOURCE}
_METAS = {
    "l4proto": Subject.PROTOCOL,
    "iifname": Subject.INTERFACE_IN,
    "iif": Subject.INTERFACE_IN,
    "oifname": Subject.INTERFACE_OUT,
    "oif": Subject.INTERFACE_OUT,
}
_VERDICTS = ("accept", "drop", "reject")
Key = tuple[str, str, str]


@dataclass(slots=True)
class _Ruleset:
    """What the ruleset has: base chains in their order, rules by chain, sets by table."""

    bases: list[dict[str, Any]] = field(default_factory=list)
    rules: dict[Key, list[dict[str, Any]]] = field(default_factory=dict)
    sets: dict[Key, list[Any]] = field(default_factory=dict)
    foreign: set[tuple[str, str]] = field(default_factory=set)  # tables with rules that only iptables can show


def parse(output: str) -> tuple[list[FirewallRule], bool]:
    """Return the rules with a verdict, and whether some can only be read with iptables-save: those tables are left out."""
    found = _read(output)
    rules: list[FirewallRule] = []
    for base in found.bases:
        if (str(base.get("family")), str(base.get("table"))) in found.foreign:
            continue
        hook, chain = str(base["hook"]), _shown(_key(base, "name"))
        rules += _walk(found, _key(base, "name"), hook, chain, (), (), 0)
        if base.get("policy") == "drop":
            rules.append(FirewallRule(direction=hook, base=chain, chain=chain, verdict=Verdict.DROP, text="policy drop"))
        if len(rules) > MOST:
            break
    return rules[:MOST], bool(found.foreign)


def _read(output: str) -> _Ruleset:
    found = _Ruleset()
    try:
        items = json.loads(output)["nftables"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return found
    for item in items if isinstance(items, list) else ():
        kind, value = next(iter(item.items()), ("", None)) if isinstance(item, dict) else ("", None)
        if not isinstance(value, dict):
            continue
        if kind == "chain" and value.get("type") == "filter" and isinstance(value.get("hook"), str):
            found.bases.append(value)
        elif kind == "rule" and isinstance(value.get("expr"), list):
            found.rules.setdefault(_key(value, "chain"), []).append(value)
            if any(isinstance(each, dict) and "xt" in each for each in value["expr"]):
                found.foreign.add((str(value.get("family")), str(value.get("table"))))
        elif kind in ("set", "map") and isinstance(value.get("elem", []), list):
            found.sets[_key(value, "name")] = value.get("elem", [])
    found.bases.sort(key=lambda base: base["prio"] if isinstance(base.get("prio"), int) else 0)
    return found


def _key(value: Mapping[str, Any], name: str) -> Key:
    return str(value.get("family")), str(value.get("table")), str(value.get(name))


def _shown(key: Key) -> str:
    return " ".join(key)[:_MOST_TEXT]


def _walk(
    found: _Ruleset, key: Key, hook: str, base: str, around: tuple[Condition, ...], above: tuple[Key, ...], count: int
) -> Iterator[FirewallRule]:
    """Yield the rules of a chain, and those of the chains that it jumps to where the jump stands."""
    if key in above or len(above) >= _DEEPEST:
        return
    for rule in found.rules.get(key, ()):
        conditions, words, packets = list(around), list[str](), None
        for each in rule["expr"]:
            if not isinstance(each, dict) or not each:
                continue
            name, value = next(iter(each.items()))
            if name == "match" and isinstance(value, dict):
                condition = _condition(found, key, value)
                conditions.append(condition)
                words.append(_words(condition, value))
            elif name == "counter" and isinstance(value, dict):
                packets = value["packets"] if isinstance(value.get("packets"), int) else None
            elif name in _VERDICTS:
                text = " ".join((*words, name))[:_MOST_TEXT]
                made = FirewallRule(
                    direction=hook,
                    base=base,
                    chain=_shown(key),
                    verdict=Verdict(name),
                    text=text,
                    conditions=tuple(conditions),
                    packets=packets,
                )
                yield made
                count += 1
            elif name in ("jump", "goto") and isinstance(value, dict):
                target = (key[0], key[1], str(value.get("target")))
                for inner in _walk(found, target, hook, base, tuple(conditions), (*above, key), count):
                    yield inner
                    count += 1
                    if count > MOST:
                        return
            elif name == "vmap":
                asked = tuple(conditions)
                yield FirewallRule(
                    direction=hook, base=base, chain=_shown(key), verdict=Verdict.UNKNOWN, text="vmap", conditions=asked
                )
            elif name == "limit":
                conditions.append(Condition(subject=Subject.OTHER))
                words.append("limit …")
            if count > MOST:
                return


def _condition(found: _Ruleset, key: Key, match: Mapping[str, Any]) -> Condition:
    left, operator = match.get("left"), match.get("op")
    subject = _subject(left) if isinstance(left, dict) else Subject.OTHER
    values = _values(found, key, match.get("right"))
    if subject is Subject.OTHER or values is None or operator not in ("==", "!=", "in"):
        return Condition(subject=Subject.OTHER)
    return Condition(subject=subject, values=values, is_negated=operator == "!=")


def _subject(left: Mapping[str, Any]) -> Subject:
    kind, value = next(iter(left.items()), ("", None))
    if not isinstance(value, dict):
        return Subject.OTHER
    if kind == "payload":
        field, protocol = str(value.get("field")), str(value.get("protocol"))
        if protocol in ("ip", "ip6") and field == "protocol":
            return Subject.PROTOCOL
        return (
            _ADDRESSES.get(field, Subject.OTHER) if protocol in ("ip", "ip6") else _PAYLOADS.get((protocol, field), Subject.OTHER)
        )
    if kind == "meta":
        return _METAS.get(str(value.get("key")), Subject.OTHER)
    return Subject.STATE if kind == "ct" and value.get("key") == "state" else Subject.OTHER


def _values(found: _Ruleset, key: Key, right: object) -> tuple[str, ...] | None:
    """Return the values on the right of a condition; None if they are not all known, or too many."""
    if isinstance(right, str) and right.startswith("@"):
        right = found.sets.get((key[0], key[1], right[1:]))
        if right is None:
            return None
    if isinstance(right, dict) and "set" in right:
        right = right["set"]
    items = right if isinstance(right, list) else [right]
    values = [_value(item) for item in items[: _MOST_VALUES + 1]]
    if len(values) > _MOST_VALUES or any(value is None for value in values):
        return None
    return tuple(value for value in values if value is not None)


def _value(item: object) -> str | None:
    if isinstance(item, (str, int)):
        return str(item)
    if isinstance(item, dict):
        if isinstance(item.get("prefix"), dict):
            return f"{item['prefix'].get('addr')}/{item['prefix'].get('len')}"
        if isinstance(item.get("range"), list) and len(item["range"]) == 2:
            return f"{item['range'][0]}-{item['range'][1]}"
        if isinstance(item.get("elem"), dict):
            return _value(item["elem"].get("val"))
    return None


def _words(condition: Condition, match: Mapping[str, Any]) -> str:
    """Return a condition as nft writes it, as far as it is read."""
    left = match.get("left")
    kind, value = next(iter(left.items()), ("", None)) if isinstance(left, dict) else ("", None)
    if not isinstance(value, dict) or condition.subject is Subject.OTHER:
        return "…"
    names = [value.get("protocol"), value.get("field")] if kind == "payload" else [kind if kind == "ct" else "", value.get("key")]
    values = condition.values[0] if len(condition.values) == 1 else "{ " + ", ".join(condition.values) + " }"
    return " ".join(str(part) for part in (*names, "!=" if condition.is_negated else "", values) if part)
