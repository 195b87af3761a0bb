"""One file for each log format."""
