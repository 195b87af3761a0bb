"""Text ⇄ lossless tree → routes."""
