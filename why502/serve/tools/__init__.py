"""What the pages and the API do with a text or file that a user gives: explain, lint, diagnose a bundle, report on logs.

Each tool is a function from values to values. Those that take files run in a process of their own (`process`), which has little
time and memory and, if the server is root, no rights.
"""
