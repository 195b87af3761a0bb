"""The version of why502, as in pyproject.toml."""

__version__ = "0.1.0"
