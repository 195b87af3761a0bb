"""Repairing: plan (pure), then one transaction: back up, edit, config test, reload, verify by request, keep or roll back."""
