"""Causes on the side of the upstream."""
