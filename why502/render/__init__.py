"""Outputs of a diagnosis: each module has `render(diagnosis, terminal) -> str`."""
