"""The keys of `kind = "alertmanager"`."""

from __future__ import annotations

from typing import ClassVar

from why502.watch.notify.base import check_url
from why502.watch.notify.http import HttpSettings


class Settings(HttpSettings, frozen=True, kw_only=True, tag="alertmanager"):
    """One or several Alertmanagers of one cluster: each of `urls` is sent everything, as Alertmanager asks for.

    Never name a load balancer.
    """

    urls: tuple[str, ...]
    takes_messages: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.urls or len(set(self.urls)) != len(self.urls):
            raise ValueError("urls must have the URL of each Alertmanager, once")
        for url in self.urls:
            check_url("urls", url)
