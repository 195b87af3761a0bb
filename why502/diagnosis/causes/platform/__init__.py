"""Causes on the side of the platform."""
