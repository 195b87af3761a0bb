"""Gateways: one package for each product, found by its directory."""
