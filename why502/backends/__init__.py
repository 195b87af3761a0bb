"""Application servers and runtimes: one package for each, found by its directory."""
