"""Incidents for people and for scripts: a list, a single one, and the draft of a post-mortem."""
