"""Alertmanager, from 0.22 on, by version 2 of its API."""
