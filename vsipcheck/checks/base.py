"""What a check is: measure + judge, and the surroundings both get."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

import msgspec

from vsipcheck.checks.answer_budget import AnswerBudget
from vsipcheck.model import AnyFact, CheckEvidence, Fact, Finding, Profile, Settings
from vsipcheck.net import Network

F = TypeVar("F", bound=Fact)


class Facts:
    """The facts of a run, by check, as a judge sees them. Absent checks have no facts and no error."""

    def __init__(self, evidence: Mapping[str, CheckEvidence]) -> None:
        self._evidence = evidence

    def of(self, kind: type[F], check: str | None = None) -> list[F]:
        """All facts of one kind, in the order in which they were recorded; of one check if named."""
        found: list[F] = []
        for name, evidence in self._evidence.items():
            if check is None or name == check:
                found.extend(fact for fact in evidence.facts if isinstance(fact, kind))
        return found

    def error_of(self, check: str) -> str | None:
        """Why the measuring of `check` ended early: "deadline", "interrupted", or a traceback."""
        evidence = self._evidence.get(check)
        return evidence.error if evidence else None

    def measured(self, check: str) -> bool:
        return check in self._evidence


class Recorder:
    """Collects the facts of one check as they happen, gives them ids, and wakes those who wait for them."""

    def __init__(self, check: str, now_ms: Callable[[], float]) -> None:
        self.check = check
        self._now_ms = now_ms
        self._facts: list[AnyFact] = []
        self._waiters: list[asyncio.Event] = []
        self.finished_ms: float | None = None

    @property
    def finished(self) -> bool:
        return self.finished_ms is not None

    def add(self, fact: F, *, offset_ms: float | None = None) -> F:
        """Keep `fact` with an id, and with the present moment unless `offset_ms` says when it began. Returns it."""
        kept = msgspec.structs.replace(
            fact,
            id=f"{self.check}.{len(self._facts) + 1}",
            offset_ms=round(self._now_ms() if offset_ms is None else offset_ms, 3),
        )
        self._facts.append(kept)  # type: ignore[arg-type]
        self._wake()
        return kept

    def finish(self) -> None:
        """No more facts will come. Those who still wait get None."""
        self.finished_ms = self._now_ms()
        self._wake()

    @property
    def facts(self) -> tuple[AnyFact, ...]:
        return tuple(self._facts)

    async def first(self, kind: type[F], wanted: Callable[[F], bool]) -> F | None:
        """The first fact that is `wanted`, as soon as there is one; None once the check has finished without."""
        seen = 0
        while True:
            for fact in self._facts[seen:]:
                if isinstance(fact, kind) and wanted(fact):
                    return fact
            seen = len(self._facts)
            if self.finished:
                return None
            event = asyncio.Event()
            self._waiters.append(event)
            await event.wait()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for event in waiters:
            event.set()


class ProgressSink(Protocol):
    def __call__(self, check: str, done: int, total: int, what: str) -> None: ...


class Context(msgspec.Struct, frozen=True):
    """What a measuring check may use. `recorders` are those of all checks of the run, to await one another's facts."""

    network: Network
    profile: Profile
    settings: Settings
    recorders: Mapping[str, Recorder]
    progress: ProgressSink
    remaining_s: Callable[[], float]  # until the run's deadline
    stopping: Callable[[], bool]  # a signal or the deadline has come
    answers: AnswerBudget = msgspec.field(default_factory=AnswerBudget)  # what the routers have left, for all checks

    async def first(self, check: str, kind: type[F], wanted: Callable[[F], bool]) -> F | None:
        """Another check's first fact that is `wanted`; None when it has finished without, or is not in the run."""
        recorder = self.recorders.get(check)
        return await recorder.first(kind, wanted) if recorder else None


Measurer = Callable[[Context, Recorder], Awaitable[None]]
Judge = Callable[[Facts, Profile, Settings], list[Finding]]


class Check(msgspec.Struct, frozen=True):
    """One entry of the registry."""

    name: str
    title: str  # what the progress line says
    finding_ids: tuple[str, ...]
    needs: tuple[str, ...]  # checks that must be measured in the same run
    measure: Measurer
    judge: Judge
    version: int = 1  # of the meaning of its facts


def fact_ids(facts: Iterable[Any]) -> tuple[str, ...]:
    """The ids of `facts`, for `Finding.facts`."""
    return tuple(fact.id for fact in facts)


def span_ms(facts: Iterable[Any]) -> tuple[float | None, float | None]:
    """When the first of `facts` began and how long it took until the last ended: a finding's offset and duration."""
    spans = [(fact.offset_ms, fact.offset_ms + (fact.duration_ms or 0.0)) for fact in facts]
    if not spans:
        return None, None
    begun = min(span[0] for span in spans)
    return begun, round(max(span[1] for span in spans) - begun, 3)
