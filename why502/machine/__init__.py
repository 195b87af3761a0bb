"""Readings of a machine that several collectors share: its processes, sockets, control groups, files."""
