"""The description of the API is valid, complete, and what a client is told is what it gets."""

from __future__ import annotations

import schemathesis
from hypothesis import HealthCheck, Phase, settings
from jsonschema import Draft202012Validator
from recorded_site import Open, NOW, site

from why502.serve.api.description import described, operations
