"""What the tests of the checks share."""

from serving import serve  # noqa: F401 - a fixture
