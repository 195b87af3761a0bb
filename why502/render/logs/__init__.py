"""The report of `why502 logs`: text, JSON, HTML, Prometheus. Each module has `render(report, terminal, *, by, top) -> str`."""
