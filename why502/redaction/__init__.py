"""Removes secrets from text, configuration and snapshots: used by everything that shows, stores or sends.

First structure (the name before a value), then the shape of a token or the place of a value, then how random a value behind a
doubtful name looks. What no rule can decide is masked. docs/redaction.md lists the rules and how well they do on a corpus.
"""

from why502.redaction.known import know
from why502.redaction.text import HIDDEN, bare, clean, in_place, redact, redact_lines, spans, without_query

__all__ = ["HIDDEN", "bare", "clean", "in_place", "know", "redact", "redact_lines", "spans", "without_query"]
