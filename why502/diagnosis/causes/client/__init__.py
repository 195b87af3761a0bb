"""Causes in the client."""
