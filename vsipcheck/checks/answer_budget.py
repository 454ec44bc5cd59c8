"""How many ICMP errors each router still has for us: one account for all probes of a run.

Routers limit how often they answer one prober (Linux: about one a second after a burst of six), and every check asks
the nearest of them. Who spends without looking takes the answers that another check's verdict needs.
"""

from __future__ import annotations

import bisect
import contextlib
from collections.abc import Iterator

import msgspec

BURST = 5.0  # answers of a rested router; Linux has six, and other programs of this host ask it too
PER_SECOND = 1.0
MAX_AT_ONCE = 16


class _Router(msgspec.Struct):
    answered_ms: list[float] = []
    extra: int = 1
    cap: int = MAX_AT_ONCE


class AnswerBudget:
    """What each router has left, as far as can be told from what it answered, and to whom of us.

    Taken to be Linux's limit until a router proves more generous: one probe beyond the estimate is risked; when that is
    answered, twice as many are the next time.
    """

    def __init__(self) -> None:
        self._routers: dict[str, _Router] = {}
        self._hops: dict[int, dict[str, str]] = {}  # TTL -> target -> router
        self._reserved = 0

    def saw(self, target: str, ttl: int, router: str) -> None:
        """Write down which router is at hop `ttl` of the way to `target`."""
        self._hops.setdefault(ttl, {}).setdefault(target, router)

    def agreed(self) -> dict[int, str]:
        """TTL -> router of the first hops, as far as ways to several targets share them: no need to ask them again."""
        limit = 0
        for ttl in sorted(self._hops):
            routers = [*self._hops[ttl].values()]
            if len(set(routers)) > 1:
                break
            if len(routers) > 1:
                limit = ttl
        return {ttl: next(iter(routers.values())) for ttl, routers in self._hops.items() if ttl <= limit}

    @contextlib.contextmanager
    def reserving(self) -> Iterator[None]:
        """While it lasts, whoever asks for `room` leaves an answer of every router to who looks for a block."""
        self._reserved += 1
        try:
            yield
        finally:
            self._reserved -= 1

    def answered(self, router: str, sent_ms: float) -> None:
        """Write down an answer to a probe that was sent at `sent_ms`."""
        bisect.insort(self._of(router).answered_ms, sent_ms)

    def tokens(self, router: str, now_ms: float) -> float:
        """Answers that a router with Linux's limit has left now."""
        tokens, last = BURST, None
        for at in self._of(router).answered_ms:
            if last is not None:
                tokens = min(BURST, tokens + (at - last) / 1000 * PER_SECOND)
            tokens, last = max(0.0, tokens - 1), at
        if last is not None:
            tokens = min(BURST, tokens + (now_ms - last) / 1000 * PER_SECOND)
        return tokens

    def room(self, router: str, now_ms: float) -> int:
        """How many probes may be sent there at once now."""
        known = self._of(router)
        return max(0, min(int(self.tokens(router, now_ms)) + known.extra, known.cap) - min(self._reserved, 1))

    def learn(self, router: str, asked: int, answered: int) -> None:
        """Of `asked` probes that were sent together, so many were answered."""
        known = self._of(router)
        if not asked:
            return
        if answered == asked:
            known.extra = min(known.extra * 2, MAX_AT_ONCE)
            known.cap = min(known.cap * 2, MAX_AT_ONCE)
        else:
            known.extra = 0
            known.cap = max(1, answered)

    def _of(self, router: str) -> _Router:
        return self._routers.setdefault(router, _Router())
