"""Causes on the side of the proxy."""
