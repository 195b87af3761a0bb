"""The backend faults of the lab behind gateways other than nginx: the same scenes, with another front."""
