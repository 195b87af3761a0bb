"""Configuration languages: text ⇄ lossless tree → routes."""
