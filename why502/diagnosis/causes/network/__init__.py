"""Causes on the side of the network."""
