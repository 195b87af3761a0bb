"""Reading Traefik's configuration texts: names of fields ignore case, durations are Go's, or a number of seconds.

Source: github.com/traefik/paerser (file, flag, env, types.Duration).
"""

from __future__ import annotations

import tomllib

from why502.config import yaml_text
from why502.config.yaml_text import NOTHING, Item
from why502.gateways.go_programs import seconds_of
from why502.model.proxy import ConfigProblem


def read(text: str, file: str) -> tuple[Item, tuple[ConfigProblem, ...]]:
    """Return the values in a YAML or TOML file, and what is wrong with it. Positions are known of YAML only."""
    if not file.endswith(".toml"):
        return yaml_text.read(text, file)
    try:
        return yaml_text.of_plain(tomllib.loads(text[: yaml_text.MOST_CHARACTERS])), ()
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        return NOTHING, (ConfigProblem(message=str(error), source="why502"),)


def part(item: Item, *names: str) -> Item:
    """Return the value that a path of field names leads to; nothing if a field is not set."""
    for name in names:
        item = next((value for key, value in item.members.items() if key.lower() == name.lower()), NOTHING)
    return item


def seconds(item: Item, default: float) -> float:
    """Return a duration in seconds."""
    if not item.text:
        return default
    return item.number if item.number is not None else seconds_of(item.text)


def is_true(item: Item, *, default: bool = False) -> bool:
    """Return a truth value; an object that is set counts as true (`api: {}`, `--api`)."""
    return item.is_true if item.text else bool(item) or default
