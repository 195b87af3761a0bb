"""Phusion Passenger."""
