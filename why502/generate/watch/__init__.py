"""The settings of `why502 watch`."""
