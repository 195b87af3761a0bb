"""gunicorn."""
