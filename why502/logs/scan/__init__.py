"""The bulk scan of `why502 logs`: whole logs of any size, cut into parts that are counted apart and merged into one sum."""
