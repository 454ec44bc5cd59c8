"""What is raised for bytes that are no SIP message, beside WireError itself."""

from vsipcheck.wire.errors import WireError


class NotSipError(WireError):
    """The peer speaks, but not SIP. `looks_like` names the protocol of a known greeting; `seen` is how it began."""

    def __init__(self, message: str, *, seen: bytes = b"", looks_like: str | None = None) -> None:
        super().__init__(message)
        self.seen = seen
        self.looks_like = looks_like


class TooLargeError(WireError):
    """A cap was passed: length of the head, number of header fields, or length of the body."""


class FramingLostError(WireError):
    """Bytes follow a message whose end nobody can know, because its Content-Length is unusable. RFC 3261 §18.3."""
