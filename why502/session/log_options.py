"""The words that options of `why502 logs` take; nothing is imported here, because its help shows them."""

BY = ("status", "route", "server", "target", "cause", "client", "minute", "hour", "method", "attempts")
ONLY = ("all", "failures", "5xx")
