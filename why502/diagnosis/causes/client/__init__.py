"""Causes on the side of the client."""
