"""The command line in this process, with a runner that sends nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from cli.reports import make_report

from vsipcheck.cli import app
from vsipcheck.model import Profile, Report, Settings


@dataclass
class Runs:
    """What the runner was given, and what it is to answer."""

    given: list[tuple[Any, Profile, Settings]] = field(default_factory=list)
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        return self.given[-1][2]

    @property
    def profile(self) -> Profile:
        return self.given[-1][1]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    seen = Runs()

    async def run(
        network: Any, profile: Profile, settings: Settings, *, progress: Any, stop: asyncio.Event, **_: Any
    ) -> Report:
        seen.given.append((network, profile, settings))
        progress("dns", 1, 1, "done")
        return make_report(profile, settings, **seen.changes)

    monkeypatch.setattr("vsipcheck.runner.run", run)
    return seen


@dataclass
class Ended:
    """How a command line ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def vsipcheck(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    def call(*arguments: str) -> Ended:
        code = app.main(list(arguments))
        captured = capfd.readouterr()
        return Ended(int(code), captured.out, captured.err)

    return call


@pytest.fixture
def refused(vsipcheck: Callable[..., Ended], runs: Runs) -> Callable[..., str]:
    """The one line that a command line is refused with; nothing ran, and stdout stayed empty."""

    def call(*arguments: str) -> str:
        ended = vsipcheck(*arguments)
        assert (ended.code, ended.out, runs.given) == (2, "", [])
        assert ended.err.startswith("vsipcheck: ")
        assert ended.err.count("\n") == 1
        return ended.err

    return call
