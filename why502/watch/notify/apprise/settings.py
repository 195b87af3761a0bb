"""The keys of `kind = "apprise"`."""

from __future__ import annotations

from importlib.util import find_spec

from why502.watch.notify.base import ReceiverSettings, check_path
from why502.watch.notify.http import Seconds


class Settings(ReceiverSettings, frozen=True, kw_only=True, tag="apprise"):
    """One service: the Apprise URL in `url_file`, since there are secrets in it."""

    url_file: str
    send_quiet: bool = False  # most services ring a phone, whatever is sent
    timeout_s: Seconds = 30.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.url_file:
            raise ValueError("url_file must be the path of a file with an Apprise URL")
        check_path("url_file", self.url_file)
        if find_spec("apprise") is None:
            raise ValueError("the library apprise is not installed: pip install 'why502[notify]'")
