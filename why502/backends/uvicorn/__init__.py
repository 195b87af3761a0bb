"""uvicorn."""
