"""Causes in the backend: the application, its workers and its dependencies."""
