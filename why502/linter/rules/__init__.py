"""Rules that belong to no single cause, a file for each subject. Every Rule in a module here is found by itself."""
