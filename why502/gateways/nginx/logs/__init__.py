"""The logs of nginx."""
