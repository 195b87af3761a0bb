"""What the tests of the limits share."""

from serving import directory, nginx, start  # noqa: F401 - fixtures
