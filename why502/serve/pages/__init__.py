"""The pages: each module has `ROUTES`, and `NAVIGATION` if it belongs in the menu.

`BODY_BYTES`, where a module has it, is the largest body that its routes accept.
"""
