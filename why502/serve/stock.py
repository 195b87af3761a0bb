"""The store of `why502 watch`, opened to be read for as long as it is the same file."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from why502.model.errors import Why502Error
from why502.watch.store import Store


class NoStore(Exception):
    """There is no store to read. `is_missing`: `why502 watch` has not run here; else it is there and cannot be read."""

    def __init__(self, message: str, hint: str, *, is_missing: bool) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.is_missing = is_missing


class Stock:
    """Gives the store to the pages. It may appear, be replaced, be locked, and disappear while this runs."""

    __slots__ = ("_file", "_guard", "_store", "path")

    def __init__(self, path: Path) -> None:
        self.path = path
        self._guard = threading.Lock()
        self._store: Store | None = None
        self._file: tuple[int, int] | None = None

    @contextmanager
    def reading(self) -> Iterator[Store]:
        """Give the store. Raises NoStore, also while it is used."""
        store = self._opened()
        try:
            yield store
        except (Why502Error, sqlite3.Error) as error:
            if not isinstance(error.__cause__ or error, sqlite3.Error):
                raise
            self.close()
            raise NoStore(
                f"{self.path} cannot be read: {error.__cause__ or error}",
                "The next request tries again.",
                is_missing=False,
            ) from error

    def _opened(self) -> Store:
        with self._guard:
            try:
                status = self.path.stat()
            except OSError as error:
                self._close()
                is_missing = isinstance(error, FileNotFoundError | NotADirectoryError)
                raise NoStore(
                    f"there is no store at {self.path}"
                    if is_missing
                    else f"{self.path}: {(error.strerror or str(error)).lower()}",
                    "`why502 watch` creates it." if is_missing else "Start `why502 serve` as a user who may read it.",
                    is_missing=is_missing,
                ) from error
            if self._store is not None and self._file == (status.st_dev, status.st_ino):
                return self._store
            self._close()
            try:
                self._store = Store.open(self.path, read_only=True)
            except Why502Error as error:
                raise NoStore(error.message, error.hint, is_missing=False) from error
            self._file = (status.st_dev, status.st_ino)
            return self._store

    def close(self) -> None:
        """Close the store."""
        with self._guard:
            self._close()

    def _close(self) -> None:
        if self._store is not None:
            self._store.close()
        self._store = self._file = None
