"""Hitch: terminates TLS in front of Varnish or another server, and forwards the plain bytes."""
