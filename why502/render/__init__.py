"""Outputs of a diagnosis: each module offers `render(diagnosis, terminal) -> str`."""
