"""The work of a command, page or agent, without its options and output: examine machines, repair, mitigate, lint, explain,
find log formats.
"""
