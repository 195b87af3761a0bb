"""The errors of why502. There are three kinds: bad input, could not look, and our own bugs (which have no class here)."""


class Why502Error(Exception):
    """Bad input of any kind. Shown as two lines (the error, and what to do); exit status 2."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class HostError(Exception):
    """One look at a machine failed. Becomes a Gap in the report, never a crash.

    `reason` is short ("permission denied"); `hint` names the access needed; `errno` is a number.
    """

    def __init__(self, reason: str, hint: str = "", *, errno: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint
        self.errno = errno


class Missing(HostError):
    """The file, program or address does not exist. This is an answer, unlike a refusal."""


class Denied(HostError):
    """Permission denied."""


class Expired(HostError):
    """The look took longer than its time limit."""
