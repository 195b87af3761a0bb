"""Names for states of HAProxy's servers that both its log and its runtime socket have."""

MAINTENANCE = "MAINT"  # somebody took the server out
NO_ADDRESS = "resolution"  # its name has no address: MAINT (resolution)
