"""Real container engines, in namespaces of their own, and one scene for each way in which containers break a proxy."""
