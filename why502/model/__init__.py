"""What is known: frozen values, and nothing else. This package imports nothing else of why502."""
