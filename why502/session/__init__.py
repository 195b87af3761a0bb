"""What a command, page or agent does, without its options and output: examine machines, repair, mitigate, lint, explain,
find log formats.
"""
