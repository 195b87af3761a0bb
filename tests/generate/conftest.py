from serving import directory, nginx, start  # noqa: F401 - fixtures
