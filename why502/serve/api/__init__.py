"""The JSON API below /api/1: each module has `ROUTES`, whose paths begin after that; `BODY_BYTES` as for pages."""
