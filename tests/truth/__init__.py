"""An independent generator of logs with exactly known contents, for testing and measuring a log engine."""

from .shape import GATEWAY_FAILURES, Shape, Truth
from .wrappers import WRAPPERS
from .writing import COMBINATIONS, FORMATS, Refused, write

__all__ = ["COMBINATIONS", "FORMATS", "GATEWAY_FAILURES", "WRAPPERS", "Refused", "Shape", "Truth", "write"]
