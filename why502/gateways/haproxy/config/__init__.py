"""HAProxy's configuration: text ⇄ lossless tree (`parse`), sections in force (`sections`), and what they mean (`load`)."""

from why502.gateways.haproxy.config.load import load, map_lookups, names, together, trees_of
from why502.gateways.haproxy.config.parse import parse
from why502.gateways.haproxy.config.sections import sections, variables_of

__all__ = ["load", "map_lookups", "names", "parse", "sections", "together", "trees_of", "variables_of"]
