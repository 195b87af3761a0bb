"""The commands: one click command per file."""
