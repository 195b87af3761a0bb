"""Names for states of HAProxy's servers that both its log and its runtime socket have."""

MAINTENANCE = "MAINT"  # somebody took the server out
NO_ADDRESS = "resolution"  # its name has no address: MAINT (resolution)
NO_ANSWER = "resolution: no answer"  # the same, and no name server of its `resolvers` answers
COUNTERS = "show stat: hrsp_5xx"  # the source of the responses that its runtime socket counts
