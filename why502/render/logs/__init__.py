"""The report of `why502 logs`: text, JSON, HTML, Prometheus. Each offers `render(report, terminal, *, by, top) -> str`."""
