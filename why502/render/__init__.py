"""Outputs of a diagnosis."""
