"""What `why502 lint` is made of: what is given, the rules, what is not to be told again, and repairs."""
