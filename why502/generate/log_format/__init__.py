"""The log format of nginx alone."""
