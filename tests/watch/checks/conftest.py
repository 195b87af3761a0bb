"""What the tests of the checks share."""

from serving import directory, serve, start  # noqa: F401 - fixtures
