"""The errors of why502. There are three kinds: bad input, could not look, and our own bugs (which have no class here)."""


class Why502Error(Exception):
    """Bad input of any kind. Shown as two lines (what, and what to do), exit status 2."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class HostError(Exception):
    """A machine could not be looked at in one way. Becomes a Gap of the report, never a crash.

    `reason` is the reason in a few words ("permission denied"); `hint` tells what would let us look; `errno` is a number.
    """

    def __init__(self, reason: str, hint: str = "", *, errno: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint
        self.errno = errno


class Missing(HostError):
    """The file, program or address asked for does not exist: an answer in itself, unlike a refusal."""


class Denied(HostError):
    """The machine refused the look for lack of a permission."""


class Expired(HostError):
    """The look took longer than its time limit."""
