"""Every other service, through the library Apprise (the extra `notify`)."""
