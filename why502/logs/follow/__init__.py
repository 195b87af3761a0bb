"""Follows a log as it grows."""
