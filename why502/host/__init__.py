"""Host: the only door to a machine."""
