"""Breaks real servers, for training and for tests."""
