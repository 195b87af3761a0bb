"""dns-resolver-failure: the name server itself fails, refuses or does not answer."""

from __future__ import annotations

from functools import partial

from why502.lab.fault import Fault
from why502.lab.names import variable_target
from why502.model.finding import Layer

fault = partial(Fault, cause="dns-resolver-failure", layer=Layer.NETWORK)
FAULTS = (
    fault(
        name="dns-resolver-failure",
        message="the name server answers SERVFAIL",
        build=partial(variable_target, rcode="SERVFAIL"),
        proves=(r"app\.internal could not be resolved \(2: Server failure\)",),
    ),
    fault(
        name="dns-resolver-failure-own",
        message="no name server runs at the resolver's address; the machine's own resolver knows the name",
        build=partial(variable_target, rcode=None, is_known=True),
        needs=frozenset({"isolation"}),
        proves=(r"app\.internal could not be resolved \(110: Operation timed out\)",),
    ),
    fault(
        name="dns-resolver-failure-refused",
        message="the name server refuses the query",
        build=partial(variable_target, rcode="REFUSED"),
        proves=(r"app\.internal could not be resolved \(5: Operation refused\)",),
    ),
    fault(
        name="dns-resolver-failure-dead",
        message="no name server runs at the resolver's address",
        build=partial(variable_target, rcode=None),
        proves=(r"app\.internal could not be resolved \(110: Operation timed out\)",),
    ),
)
