"""The outputs of `why502 lint`, one file each: render(report, terminal) -> str."""
