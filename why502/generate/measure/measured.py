"""What was found out about an application: options with their sources, and facts that decide no option."""

from __future__ import annotations

from dataclasses import dataclass, field

Options = dict[str, tuple[tuple[str, ...], str]]  # by option: its values, and their source


@dataclass(frozen=True, slots=True)
class Measured:
    """`options`: by option its values, and their source. `facts`: sentences about what decides no option, with their sources."""

    options: Options = field(default_factory=dict)
    facts: list[str] = field(default_factory=list)

    def add(self, option: str, value: str, source: str) -> None:
        """Add a value of an option."""
        values, _ = self.options.get(option, ((), ""))
        self.options[option] = ((*values, value), source)

    def add_fact(self, fact: str) -> None:
        """Add a sentence."""
        self.facts.append(fact)
