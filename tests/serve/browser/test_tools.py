"""The tools in a real browser: what a person does with them, with a mouse or by keyboard only, with and without JavaScript."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Look
