"""The outputs of `why502 lint`, a file for each: render(report, terminal) -> str."""
