"""The keys of `kind = "slack"`."""

from __future__ import annotations

from why502.watch.notify.base import check_path, check_url
from why502.watch.notify.http import HttpSettings


class Settings(HttpSettings, frozen=True, kw_only=True, tag="slack"):
    """With `token_file` (a bot's token with the scope chat:write) and `channel` (its ID), each incident is one thread, and its
    first message always has the present state. With `url_file` (an incoming webhook) each transition is a message of its own.
    """

    channel: str = ""
    url_file: str = ""
    api_url: str = "https://slack.com/api"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_path("url_file", self.url_file)
        check_url("api_url", self.api_url)
        if bool(self.token_file) == bool(self.url_file):
            raise ValueError("set either token_file and channel, or url_file")
        if bool(self.token_file) != bool(self.channel):
            raise ValueError("token_file and channel belong together")
        if self.user:
            raise ValueError("Slack takes a token, not a user")
