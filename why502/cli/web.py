"""Whether what the web pages need is installed."""

from __future__ import annotations

from importlib.util import find_spec

from why502.model.errors import Why502Error

_NEEDED = ("markdown_it", "python_multipart", "starlette", "uvicorn")


def check_installed() -> None:
    """Raises Why502Error where the extra `web` is missing."""
    if any(find_spec(name) is None for name in _NEEDED):
        raise Why502Error("the web pages are not installed", "Install them: pip install 'why502[web]'")
