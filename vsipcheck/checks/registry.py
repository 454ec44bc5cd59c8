"""The checks there are, in the order in which their evidence stands in a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

from vsipcheck.checks.base import Check

# What a run of everything measures.
STANDING = ("dns", "sip", "media", "nat", "path")
# What needs something of the customer's: a PBX to call, a file to read. They need no other check.
ON_REQUEST = ("pbx", "config", "message")
_NAMES = (*STANDING, *ON_REQUEST)


class Registry(Mapping[str, Check]):
    """Name -> check, each loaded when it is first asked for: they take longer to load than Python takes to start.

    A check is the constant CHECK of `check` in the package of its name.
    """

    def __getitem__(self, name: str) -> Check:
        if name not in _NAMES:
            raise KeyError(name)
        check: Check = import_module(f"vsipcheck.checks.{name}.check").CHECK
        return check

    def __iter__(self) -> Iterator[str]:
        return iter(_NAMES)

    def __len__(self) -> int:
        return len(_NAMES)


CHECKS: Mapping[str, Check] = Registry()
