"""Slack: by a bot's token, one thread for each incident, edited in place; or by an incoming webhook."""
