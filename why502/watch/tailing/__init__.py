"""From the logs of the gateways to counters, without a line lost or counted twice."""

from why502.watch.tailing.reader import Times
from why502.watch.tailing.tailer import Tailer

__all__ = ["Tailer", "Times"]
