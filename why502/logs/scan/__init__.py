"""The engine of `why502 logs`: logs of any size are split into parts, which are counted separately and merged."""
