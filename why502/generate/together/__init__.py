"""Everything that one application needs."""
