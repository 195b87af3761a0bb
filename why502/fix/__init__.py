"""Fixes: a plan (pure), then one transaction: back up, edit, config test, reload, verify by requests, keep or roll back."""
