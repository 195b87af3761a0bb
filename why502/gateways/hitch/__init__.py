"""Hitch: it ends TLS in front of Varnish or another server, and passes the bytes on."""
