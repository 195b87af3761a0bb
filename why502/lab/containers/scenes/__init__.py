"""The scenes: each module here has SCENES."""
