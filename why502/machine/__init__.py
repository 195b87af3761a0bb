"""Readings of a machine that several collectors share: processes, sockets, control groups, files."""
