"""How long a run takes when nothing at all comes back and every wait lasts as long as its time-out."""

from __future__ import annotations

import json

from lab import Lab, Rule, Scenario, obstacle

from bench.commands import run_in_lab, write_byte_code
from bench.figures import Figure, Row, Sample, Skipped

TITLE = "`vsipcheck all` with everything dropped at the customer's router, default time-outs"
NAME = "everything blackholed"
RUNS = 5
AIM_S = 7.0


def measure() -> list[Row]:
    """Seconds of the whole process."""
    why_not = obstacle()
    if why_not is not None:
        return [Skipped(NAME, why_not)]
    write_byte_code()
    with Lab(Scenario(site="router", rules=(Rule("edge", "forward", "drop"),))) as lab:
        runs = [run_in_lab(lab, ["vsipcheck", "all", "--json"]) for _ in range(RUNS)]
    sample = Sample(tuple(run.seconds for run in runs))
    verdicts = sorted({f"{json.loads(run.output)['overall']}, exit {run.exit_code}" for run in runs})
    return [Figure(f"{NAME} ({'; '.join(verdicts)})", sample.median, "s", AIM_S, noise=sample.spread("s"))]
