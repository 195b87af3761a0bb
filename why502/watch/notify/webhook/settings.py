"""The keys of `kind = "webhook"`."""

from __future__ import annotations

from enum import StrEnum

from why502.watch.notify.base import check_path, check_url
from why502.watch.notify.http import HttpSettings


class Form(StrEnum):
    """The form of the body."""

    OWN = "why502"
    ALERTMANAGER = "alertmanager"  # version 4 of Alertmanager's webhooks


class Settings(HttpSettings, frozen=True, kw_only=True, tag="webhook"):
    """One URL; in `url_file` if it has a secret in it. `secret_file`: signs each body with HMAC-SHA256."""

    url: str = ""
    url_file: str = ""
    form: Form = Form.OWN
    secret_file: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.url) == bool(self.url_file):
            raise ValueError("set either url or url_file")
        if self.url:
            check_url("url", self.url)
        check_path("url_file", self.url_file)
        check_path("secret_file", self.secret_file)
