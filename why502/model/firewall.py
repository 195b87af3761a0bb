"""Rules of a machine's packet filter, as far as they decide whether a connection is let through."""

from __future__ import annotations

from enum import StrEnum

from why502.model.base import Value


class Verdict(StrEnum):
    """The outcome of a rule. UNKNOWN: it depends on what is not read (a map of verdicts, an extension)."""

    ACCEPT = "accept"
    DROP = "drop"
    REJECT = "reject"
    UNKNOWN = ""


class Subject(StrEnum):
    """The part of a packet that a condition is about."""

    PROTOCOL = "protocol"
    PORT = "port"  # of the destination
    DESTINATION = "destination"
    SOURCE = "source"
    INTERFACE_IN = "interface in"
    INTERFACE_OUT = "interface out"
    STATE = "state"  # of the connection
    OTHER = "other"


class Condition(Value, frozen=True, kw_only=True):
    """One condition of a rule. `values`: any of them; ports as `80` or `100-200`, addresses as networks (`10.0.0.0/8`)."""

    subject: Subject
    values: tuple[str, ...] = ()
    is_negated: bool = False


class FirewallRule(Value, frozen=True, kw_only=True):
    """One rule with a verdict, in the order in which packets meet them; the conditions of the jumps that lead to it included.

    The policy of a chain is its last rule, without a condition.
    """

    direction: str  # input, output, forward, prerouting, postrouting: the hook of nftables, which is also a word for secrets
    base: str  # the chain that packets enter: "inet filter input"
    chain: str  # the one with the rule, which that one jumps to
    verdict: Verdict
    text: str  # as the program that listed it writes it
    conditions: tuple[Condition, ...] = ()
    packets: int | None = None  # that met it, if they are counted
    source: str = "nft list ruleset"
    network: str = ""  # inode of the network namespace that it is in, if it is not ours
