"""The daemon that counts failures, opens incidents with their diagnosis, and tells those who are on call."""
