"""Stacks: real packages on a booted systemd, broken the way they break in life, under the traffic of normal users."""
