"""Service managers: one package for each, found by its directory."""
