"""The stacks themselves, one family a file."""
