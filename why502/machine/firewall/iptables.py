"""The rules in `iptables-save -c`. Source: iptables-save(8), iptables(8), iptables-extensions(8)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping

from why502.machine.firewall.nft import MOST
from why502.model.firewall import Condition, FirewallRule, Subject, Verdict
from why502.model.patterns import lazy

_BUILT_IN = {"INPUT": "input", "OUTPUT": "output", "FORWARD": "forward", "PREROUTING": "prerouting", "POSTROUTING": "postrouting"}
_TABLES = frozenset({"filter", "raw", "mangle"})
_VERDICTS = {"ACCEPT": Verdict.ACCEPT, "DROP": Verdict.DROP, "REJECT": Verdict.REJECT}
_SUBJECTS = {
    "-p": Subject.PROTOCOL,
    "--dport": Subject.PORT,
    "--dports": Subject.PORT,
    "-d": Subject.DESTINATION,
    "-s": Subject.SOURCE,
    "-i": Subject.INTERFACE_IN,
    "-o": Subject.INTERFACE_OUT,
    "--ctstate": Subject.STATE,
    "--state": Subject.STATE,
}
_HARMLESS = {"-m": 1, "--comment": 1, "--reject-with": 1, "-j": 0, "-g": 0}  # options that decide nothing, and their arguments
_CONTINUES = frozenset({"LOG", "NFLOG", "MARK", "CONNMARK", "CT", "NOTRACK", "TRACE", "RETURN"})  # RETURN is read apart
_DEEPEST = 8
_LONGEST = 4_000
_MOST_TEXT = 300
_LINE = lazy(r"(?:\[(?P<packets>\d{1,20}):\d{1,20}\] )?-A (?P<chain>\S{1,100}) (?P<rest>.*)")
_CHAIN = lazy(r":(?P<chain>\S{1,100}) (?P<policy>[A-Z-]{1,20})")
_Rule = tuple[str, tuple[Condition, ...], str, int | None]  # target, conditions, text, packets


def parse(output: str, family: str) -> list[FirewallRule]:
    """Return the rules with a verdict, in the order in which packets meet them in each table. `family`: ip or ip6."""
    found: list[FirewallRule] = []
    for table, chains, policies in _tables(output):
        for chain, hook in _BUILT_IN.items():
            name = f"{family} {table} {chain}"
            for rule in _walk(chains, chain, hook, name, (), ()):
                found.append(rule)
                if len(found) >= MOST:
                    return found
            if policies.get(chain) == "DROP":
                found.append(_made(hook, name, chain, Verdict.DROP, "policy DROP", (), None))
    return found


def _tables(output: str) -> Iterator[tuple[str, dict[str, list[_Rule]], dict[str, str]]]:
    table, chains, policies = "", dict[str, list[_Rule]](), dict[str, str]()
    for line in output.splitlines():
        if line.startswith("*"):
            table, chains, policies = line[1:], {}, {}
        elif line == "COMMIT" and table in _TABLES:
            yield table, chains, policies
        elif match := _CHAIN.match(line):
            policies[match["chain"]] = match["policy"]
            chains.setdefault(match["chain"], [])  # also an empty one: what jumps there goes on after the jump
        elif match := _LINE.match(line[:_LONGEST]):
            target, conditions = _rule(match["rest"])
            packets = int(match["packets"]) if match["packets"] else None
            chains.setdefault(match["chain"], []).append((target, conditions, match["rest"][:_MOST_TEXT], packets))


def _rule(text: str) -> tuple[str, tuple[Condition, ...]]:
    """Return the target of a rule, and its conditions; one that is not read is an OTHER."""
    try:
        words = shlex.split(text)
    except ValueError:
        return "", (Condition(subject=Subject.OTHER),)
    target, conditions, is_negated = "", list[Condition](), False
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if word == "!":
            is_negated = True
            continue
        if word in ("-j", "-g"):
            target = words[at] if at < len(words) else ""
            at += 1
        elif word in _SUBJECTS and at < len(words):
            values = tuple(value.replace(":", "-") if "port" in word else value for value in words[at].split(","))
            subject = _SUBJECTS[word]
            if subject in (Subject.INTERFACE_IN, Subject.INTERFACE_OUT):
                values = tuple(re.sub(r"\+$", "*", value) for value in values)
            elif subject is Subject.STATE:
                values = tuple(value.lower() for value in values)
            conditions.append(Condition(subject=subject, values=values, is_negated=is_negated))
            at += 1
        elif word in _HARMLESS:
            at += _HARMLESS[word]
        elif word.startswith("-") and not target:
            conditions.append(Condition(subject=Subject.OTHER))
        is_negated = False
    return target, tuple(conditions)


def _walk(
    chains: Mapping[str, list[_Rule]],
    chain: str,
    hook: str,
    base: str,
    around: tuple[Condition, ...],
    above: tuple[str, ...],
) -> Iterator[FirewallRule]:
    if chain in above or len(above) >= _DEEPEST:
        return
    for target, own, text, packets in chains.get(chain, ()):
        conditions = (*around, *own)
        if target in _VERDICTS:
            yield _made(hook, base, chain, _VERDICTS[target], text, conditions, packets)
        elif target in chains:
            yield from _walk(chains, target, hook, base, conditions, (*above, chain))
        elif target == "RETURN" or (target and target not in _CONTINUES and not target.startswith("-")):
            yield _made(hook, base, chain, Verdict.UNKNOWN, text, conditions, packets)


def _made(
    hook: str, base: str, chain: str, verdict: Verdict, text: str, conditions: tuple[Condition, ...], packets: int | None
) -> FirewallRule:
    return FirewallRule(
        direction=hook,
        base=base,
        chain=f"{base.rpartition(' ')[0]} {chain}",
        verdict=verdict,
        text=text,
        conditions=conditions,
        packets=packets,
        source="ip6tables-save -c" if base.startswith("ip6 ") else "iptables-save -c",
    )
