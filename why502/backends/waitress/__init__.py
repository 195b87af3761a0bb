"""waitress."""
