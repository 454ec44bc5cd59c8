"""What is wrong with a profile, in one line."""

from __future__ import annotations


class ProfileError(Exception):
    """A profile that cannot be used: the file, the path of the key, what was expected, what was found instead."""

    def __init__(self, path: str | None, key: str | None, expected: str | None, message: str) -> None:
        super().__init__(path, key, expected, message)
        self.path = path  # None: the value did not come from a file
        self.key = key  # `signalling.pops[1].fqdn`; None: the file as a whole
        self.expected = expected
        self.message = message  # "found 70000"

    def __str__(self) -> str:
        said = f"expected {self.expected}, {self.message}" if self.expected else self.message
        return ": ".join([*(part for part in (self.path, self.key) if part), said])
