"""The data model: frozen values, and nothing else. This package imports nothing else of why502."""
