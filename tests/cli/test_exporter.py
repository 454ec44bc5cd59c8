"""The exporter: one run for all who ask, bounded waits, and rules and a dashboard that use what there is."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import Ended
from cli.reports import make_report
from prometheus_client.parser import text_string_to_metric_families

from vsipcheck.cli import exporter
from vsipcheck.cli.exporter import Runs, metrics, pages, patience_of
from vsipcheck.model import Report, Settings
from vsipcheck.net.listen import Asked

FAKE = [sys.executable, str(Path(__file__).with_name("fake_vsipcheck.py"))]
RULES_TEST = Path(__file__).with_name("prometheus-rules.test.yml")
NAME = re.compile(r"\bvsipcheck_[a-z_]+\b")


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Measuring:
    """Runs that end when a test lets them."""

    def __init__(self) -> None:
        self.begun = 0
        self.began = asyncio.Event()
        self.at_once = 0
        self.most_at_once = 0
        self.let_end = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self, stop: asyncio.Event) -> Report:
        self.begun += 1
        self.began.set()
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            ending = [asyncio.create_task(event.wait()) for event in (self.let_end, stop)]
            await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)
            for task in ending:
                task.cancel()
            if self.error:
                raise self.error
            return make_report(run_id=f"run {self.begun}", interrupted=stop.is_set())
        finally:
            self.at_once -= 1


def played(story: Callable[[Runs, Measuring, Clock], Awaitable[None]], **changes: Any) -> None:
    async def play() -> None:
        measuring, clock = Measuring(), Clock()
        runs = Runs(measuring, **{"min_interval_s": 60.0, "longest_s": 30.0, **changes}, clock=clock)
        await story(runs, measuring, clock)
        await runs.close()

    asyncio.run(play())


def run_id(report: Report | None) -> str | None:
    return report and report.run_id


def test_all_who_ask_at_once_share_one_run() -> None:
    async def story(runs: Runs, measuring: Measuring, clock: Clock) -> None:
        asking = [asyncio.create_task(runs.latest(10.0)) for _ in range(50)]
        await measuring.began.wait()
        measuring.let_end.set()
        assert {run_id(report) for report in await asyncio.gather(*asking)} == {"run 1"}
        assert (measuring.begun, measuring.most_at_once, runs.started) == (1, 1, 1)

    played(story)


def test_young_run_is_shown_again_and_an_old_one_is_not() -> None:
    async def story(runs: Runs, measuring: Measuring, clock: Clock) -> None:
        measuring.let_end.set()
        assert run_id(await runs.latest(10.0)) == "run 1"
        clock.now += 59.9
        assert run_id(await runs.latest(10.0)) == "run 1"
        clock.now += 0.1
        assert run_id(await runs.latest(10.0)) == "run 2"

    played(story)


def test_run_that_outlasts_patience_goes_on_and_is_not_doubled() -> None:
    async def story(runs: Runs, measuring: Measuring, clock: Clock) -> None:
        assert await runs.latest(0.0) is None
        clock.now += 3600
        assert await runs.latest(0.001) is None
        assert runs.running
        measuring.let_end.set()
        assert run_id(await runs.latest(10.0)) == "run 1"
        measuring.let_end.clear()
        clock.now += 3600
        assert run_id(await runs.latest(0.001)) == "run 1"  # the one before
        assert (measuring.begun, measuring.most_at_once) == (2, 1)

    played(story)


def test_asker_who_goes_away_takes_no_run_along() -> None:
    async def story(runs: Runs, measuring: Measuring, clock: Clock) -> None:
        asking = asyncio.create_task(runs.latest(10.0))
        await measuring.began.wait()
        asking.cancel()
        await asyncio.wait([asking])
        measuring.let_end.set()
        assert run_id(await runs.latest(10.0)) == "run 1"

    played(story)


def test_broken_run_leaves_no_old_verdict_behind(capfd: pytest.CaptureFixture[str]) -> None:
    async def story(runs: Runs, measuring: Measuring, clock: Clock) -> None:
        measuring.let_end.set()
        assert await runs.latest(10.0) is not None
        measuring.error = RuntimeError("a fault\nof our own")
        clock.now += 60
        assert await runs.latest(10.0) is None
        assert await runs.latest(10.0) is None  # and it is not tried again at once
        assert (measuring.begun, runs.broken) == (2, 1)
        measuring.error = None
        clock.now += 60
        assert run_id(await runs.latest(10.0)) == "run 3"

    played(story)
    assert capfd.readouterr().err.count("\n") == 1


def test_run_without_end_is_given_up() -> None:
    async def story(runs: Runs, measuring: Measuring, clock: Clock) -> None:
        assert await runs.latest(10.0) is None
        assert (runs.broken, measuring.at_once) == (1, 0)

    played(story, longest_s=0.01)


def test_closing_ends_the_run() -> None:
    async def story(runs: Runs, measuring: Measuring, clock: Clock) -> None:
        await runs.latest(0.0)
        await runs.close()
        assert runs.report is not None
        assert runs.report.interrupted
        assert measuring.at_once == 0

    played(story)


@pytest.mark.parametrize(
    ("said", "patience_s"),
    [("10", 9.5), ("0.1", 0.0), ("-5", 0.0), ("1e9", 35.0), ("nan", 35.0), ("inf", 35.0), ("soon", 35.0), (None, 35.0)],
)
def test_patience_is_the_scrapers(said: str | None, patience_s: float) -> None:
    headers = {} if said is None else {"x-prometheus-scrape-timeout-seconds": said}
    assert patience_of(Asked(path="/metrics", headers=headers), 35.0) == pytest.approx(patience_s)


def test_pages() -> None:
    async def story(runs: Runs, measuring: Measuring, clock: Clock) -> None:
        answer = pages(runs, 60.0, 30.0)
        assert "/metrics" in (await answer(Asked(path="/", headers={}))).body
        assert (await answer(Asked(path="/metricsx", headers={}))).status == 404
        assert measuring.begun == 0  # only who asks for metrics has a run made
        measuring.let_end.set()
        page = await answer(Asked(path="/metrics", headers={}))
        assert page.content_type.startswith("text/plain; version=0.0.4")
        assert "vsipcheck_run_exit_code 0.0" in page.body
        assert "vsipcheck_exporter_runs_total 1.0" in page.body

    played(story)


def test_report_that_cannot_be_told_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> str:
        raise RuntimeError("no")

    async def story(runs: Runs, measuring: Measuring, clock: Clock) -> None:
        measuring.let_end.set()
        assert (await pages(runs, 60.0, 30.0)(Asked(path="/metrics", headers={}))).status == 500

    monkeypatch.setattr(exporter, "metrics", broken)
    played(story)


def exported(report: Report | None) -> str:
    async def unused(stop: asyncio.Event) -> Report:
        raise NotImplementedError

    async def tell() -> str:
        return metrics(Runs(unused, 60.0, 30.0), report)

    return asyncio.run(tell())


def promtool(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    if shutil.which("promtool") is None:
        missing = "promtool is not installed: `tests/run` installs it as root on Debian"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    return subprocess.run(["promtool", *arguments], input=text, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("report", [make_report(), None])
def test_promtool_has_nothing_to_say(report: Report | None) -> None:
    checked = promtool("check", "metrics", text=exported(report))
    assert (checked.returncode, checked.stderr) == (0, "")


def test_rules_are_rules_and_fire_when_they_have_to(vsipcheck: Callable[..., Ended], tmp_path: Path) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text(vsipcheck("exporter", "rules").out)
    checked = promtool("check", "rules", str(rules))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    story = tmp_path / "story.yml"
    story.write_text(RULES_TEST.read_text().replace("RULES", str(rules)))
    tested = promtool("test", "rules", str(story))
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.fixture(scope="module")
def known_names() -> set[str]:
    """The metrics of a healthy run, which measures everything, and the exporter's own."""
    from vsipcheck.profiles import DEFAULT_PROFILE, load_profile
    from vsipcheck.runner import run
    from vsipcheck.sim import SCENARIOS, open_simulation

    async def simulate() -> Report:
        profile = load_profile(DEFAULT_PROFILE)
        settings = Settings(checks=("dns", "sip", "media", "nat"))
        async with open_simulation(SCENARIOS["healthy"], profile) as network:
            return await run(network, profile, settings)

    text = exported(asyncio.run(simulate()))
    names = {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}
    # A run of some checks alone has no overall verdict.
    return names | {"vsipcheck_overall"}


@pytest.mark.parametrize("which", ["rules", "dashboard"])
def test_nothing_is_used_that_is_not_exported(
    vsipcheck: Callable[..., Ended], known_names: set[str], which: str
) -> None:
    text = vsipcheck("exporter", which).out
    used = {*NAME.findall(text)}
    assert len(used) > 5
    assert used <= known_names, used - known_names


def test_dashboard_is_one_that_grafana_takes(vsipcheck: Callable[..., Ended]) -> None:
    dashboard = json.loads(vsipcheck("exporter", "dashboard").out)
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert dashboard["schemaVersion"] >= 36
    assert {variable["name"] for variable in dashboard["templating"]["list"]} == {"datasource", "instance"}
    places = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not places & cells, f"{panel['title']} lies on another"
        places |= cells
        for target in panel["targets"]:
            assert 'instance=~"$instance"' in target["expr"]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["--listen", "9886"], "--listen: expected ADDRESS:PORT or [ADDRESS]:PORT, found '9886'"),
        (["--listen", "localhost:1"], "--listen: expected ADDRESS:PORT"),
        (["--listen", "::1:99"], "--listen: expected ADDRESS:PORT"),
        (["--listen", "127.0.0.1:65536"], "--listen: expected ADDRESS:PORT"),
        (["--min-interval", "-1"], "--min-interval: expected seconds from 0 to 86400, found -1"),
        (["--min-interval", "nan"], "--min-interval: expected seconds"),
        (["--deadline", "0"], "--deadline: expected seconds"),
        (["--profile", "none"], "none: expected one of"),
        (["alerts"], "'alerts'"),
        (["--json"], "exporter: no such option: --json"),
    ],
)
def test_what_cannot_be_done_is_refused(refused: Callable[..., str], typed: list[str], said: str) -> None:
    assert said in refused("exporter", *typed)


# -- the process


@contextmanager
def serving(behaviour: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """An exporter of a runner that sends nothing, and its address."""
    process = subprocess.Popen(
        [*FAKE, behaviour, "exporter", "--listen", "127.0.0.1:0", *arguments], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        said = re.fullmatch(r"vsipcheck: metrics at (http://127\.0\.0\.1:\d+)/metrics\n", line)
        assert said is not None, line
        yield process, said[1]
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def fetch(url: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=60) as response:
        text: str = response.read().decode()
    return text


def test_process_serves_until_it_is_told_to_end() -> None:
    with serving("report") as (process, url):
        assert "/metrics" in fetch(f"{url}/")
        assert "vsipcheck_run_exit_code 0.0" in fetch(f"{url}/metrics")
        assert "vsipcheck_exporter_runs_total 1.0" in fetch(f"{url}/metrics")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_sigterm_ends_a_run_that_is_under_way() -> None:
    with serving("wait") as (process, url):
        request = urllib.request.Request(f"{url}/metrics", headers={"X-Prometheus-Scrape-Timeout-Seconds": "0.5"})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as response:
            assert "vsipcheck_exporter_run_in_progress 1.0" in response.read().decode()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def test_run_that_breaks_is_counted_and_told_in_one_line() -> None:
    with serving("crash") as (process, url):
        page = fetch(f"{url}/metrics")
        assert "vsipcheck_exporter_broken_runs_total 1.0" in page
        assert "vsipcheck_run_exit_code" not in page
        assert process.stderr is not None
        assert process.stderr.readline() == "vsipcheck: a run broke: RuntimeError: a fault\\x0aof our own\n"


def test_port_that_is_taken_is_told() -> None:
    with serving("report") as (_, url):
        taken = url.removeprefix("http://")
        ended = subprocess.run(
            [*FAKE, "report", "exporter", "--listen", taken], capture_output=True, text=True, check=False, timeout=60
        )
    assert ended.returncode == 4
    assert ended.stderr.startswith("vsipcheck: cannot listen on 127.0.0.1 port ")
    assert ended.stderr.count("\n") == 1
