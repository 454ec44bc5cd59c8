"""Lists, numbers and failures as the sentences about NAT say them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vsipcheck.model import AddressSeen


def join_words(items: Iterable[str]) -> str:
    """`a, b and c`."""
    words = list(items)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def counted(number: int, one: str, several: str) -> str:
    """`no runs`, `1 run`, `2 runs`."""
    return f"{number} {one if number == 1 else several}" if number else f"no {several}"


def join_failures(failed: Sequence[AddressSeen]) -> str:
    """`connect timeout: one, other; nxdomain: third`: who failed, by how."""
    kinds: dict[str, list[str]] = {}
    for fact in failed:
        kinds.setdefault(str(fact.failure).replace("_", " "), []).append(fact.source)
    return "; ".join(f"{kind}: {', '.join(dict.fromkeys(sources))}" for kind, sources in kinds.items())
