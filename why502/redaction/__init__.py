"""Removes secrets from text, configuration and snapshots: used for all data that is shown, stored or sent.

Rules apply in this order: the name before a value; the shape of a token or the position of a value; the randomness of a value
after an ambiguous name. Values that no rule can decide are masked. docs/redaction.md lists the rules and their accuracy on a
corpus.
"""

from why502.redaction.known import know
from why502.redaction.text import HIDDEN, bare, clean, in_place, redact, redact_lines, spans, without_query

__all__ = ["HIDDEN", "bare", "clean", "in_place", "know", "redact", "redact_lines", "spans", "without_query"]
