"""Rules about HAProxy's configuration. Source: doc/configuration.txt; what it refuses or warns of is what `haproxy -c` says."""
