"""Rules that belong to no single cause, one file per subject. Every Rule in a module here is found automatically."""
