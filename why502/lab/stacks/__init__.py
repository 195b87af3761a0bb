"""Stacks: real packages on a booted systemd, broken as in production, under the traffic of normal users."""
