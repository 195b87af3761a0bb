"""Causes in the proxy: its configuration and its limits."""
