"""The stacks themselves, one family per file."""
