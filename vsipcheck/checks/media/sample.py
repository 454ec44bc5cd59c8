"""Which ports of the range are asked."""

from __future__ import annotations

import random


def sample_ports(first: int, last: int, count: int, rng: random.Random) -> list[int]:
    """`count` ports of first..last: both ends, and one of each equal stratum, even and odd in turn.

    Ordered so that every prefix is spread over the range. Fewer when the range is smaller.
    """
    size = last - first + 1
    if count >= size:
        return list(range(first, last + 1))
    if count == 1:
        return [first]
    ports = {first, last}
    strata = count - 2
    for index in range(strata):
        low = first + 1 + (size - 2) * index // strata
        high = first + (size - 2) * (index + 1) // strata
        port = rng.randint(low, max(low, high))
        if port % 2 != index % 2:
            port = port + 1 if port < high else max(low, port - 1)
        ports.add(port)
    ordered = sorted(ports)
    order = sorted(range(len(ordered)), key=lambda i: _bit_reversed(i, max(1, (len(ordered) - 1).bit_length())))
    return [ordered[i] for i in order]


def _bit_reversed(value: int, bits: int) -> int:
    return int(f"{value:0{bits}b}"[::-1], 2)
