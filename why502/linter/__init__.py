"""`why502 lint`: its input, rules, baseline, suppressions and repairs."""
