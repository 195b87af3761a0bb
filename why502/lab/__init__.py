"""Breaks real servers, for training and for tests.

`faults/` holds one file a cause; each builds a scene on a `Stage`: real nginx, real backends, real requests. As root a scene
runs in network, mount and process namespaces of its own (`room.py`), so nothing of it is left when it ends.
"""
