"""What the tests of the pages share: a store with real incidents, and a client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from recorded_site import NOW, Open, site
from starlette.testclient import TestClient

from why502.serve.app import application
from why502.serve.settings import Settings
from why502.watch.model import Incident


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Give a function that returns a client for a store; its options are those of the settings."""
    with ExitStack() as stack:

        def client(store: Path = tmp_path / "watch.db", **options: object) -> TestClient:
            settings = Settings(store=store, names=("web1",), watch_settings=str(_no_settings(tmp_path)), **options)  # type: ignore[arg-type]
            made = TestClient(
                application(settings, lambda: NOW),
                base_url="http://127.0.0.1:8502",
                raise_server_exceptions=False,
                follow_redirects=False,
            )
            return stack.enter_context(made)

        yield client


def _no_settings(directory: Path) -> Path:
    path = directory / "watch.toml"
    path.touch()
    return path


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Incident]]:
    """A store with two open and two resolved incidents."""
    path = tmp_path_factory.mktemp("recorded") / "watch.db"
    return path, site(path, NOW, "wrong-port", "backend-too-slow", ended=("keepalive-race", "php-fpm-max-children"))
