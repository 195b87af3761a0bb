"""Varnish."""
