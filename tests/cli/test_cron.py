"""`--cron`: one mail a change, one run at a time, and nothing lost to whatever happens to the state."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import Ended, Runs
from history_reports import moment, run_at

from vsipcheck.history import History
from vsipcheck.model import Overall, Report, Status

Vsipcheck = Callable[..., Ended]
FAKE = [sys.executable, str(Path(__file__).with_name("fake_cron.py"))]
P, W, F, U = Status.PASS, Status.WARN, Status.FAIL, Status.UNKNOWN
LETTERS = {"P": P, "W": W, "F": F, "U": U}
TESTS = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"}


class Job:
    """`vsipcheck all --cron` in this process, with a runner that gives the next of the given statuses."""

    def __init__(self, vsipcheck: Vsipcheck, runs: Runs, state: Path) -> None:
        self._vsipcheck = vsipcheck
        self._runs = runs
        self.state = state
        self.number = 0

    def run(self, status: Status, *options: str, **changes: Any) -> Ended:
        report = run_at(self.number, status, **changes)
        self.number += 1
        self._runs.changes = {
            name: getattr(report, name)
            for name in (
                "run_id",
                "started_at",
                "overall",
                "exit_code",
                "findings",
                "checklist",
                "evidence",
                "interrupted",
            )
        }
        return self._vsipcheck("all", "--cron", "--state", str(self.state), *options)


@pytest.fixture
def job(vsipcheck: Vsipcheck, runs: Runs, tmp_path: Path) -> Job:
    return Job(vsipcheck, runs, tmp_path / "state" / "h.sqlite")


def promised(statuses: str, confirm: int) -> list[int]:
    """The runs after which something has to be said: told here as the option's help tells it, not as the code does."""
    told, news = "P", []
    for at in range(len(statuses)):
        last = statuses[max(0, at - confirm + 1) : at + 1]
        if len(last) == confirm and len(set(last)) == 1 and last[0] != told:
            told = last[0]
            news.append(at)
    return news


def silent(ended: Ended) -> int:
    """The exit code of what said nothing."""
    assert (ended.out, ended.err) == ("", "")
    return ended.code


# --- what is said


@pytest.mark.parametrize("confirm", [1, 2, 3])
@pytest.mark.parametrize(
    "statuses",
    ["PPPPP", "PPFPP", "PPFFFF", "FF", "FFF", "PFFPP", "PFFPFFPP", "PFPFPFPF", "UUPP", "WWW", "PFFUUFFPPP"],
)
def test_output_appears_at_confirmed_changes_alone(job: Job, statuses: str, confirm: int) -> None:
    said = []
    for at, status in enumerate(statuses):
        ended = job.run(LETTERS[status], "--confirm", str(confirm))
        assert ended.err == ""
        assert ended.code == {"P": 0, "W": 0, "F": 1, "U": 3}[status]
        if ended.out:
            said.append(at)
    assert said == promised(statuses, confirm)


def test_what_is_said(job: Job) -> None:
    for status in (P, P, F):
        assert job.run(status).out == ""
    line, *rows = job.run(F).out.splitlines()
    assert line.startswith("NOT READY")
    assert rows == ["  signalling_out: pass -> fail"]
    job.run(P)
    line, *rows = job.run(P).out.splitlines()
    assert line.startswith("READY")
    assert rows == ["  signalling_out: fail -> pass"]


def test_a_first_state_that_is_bad_is_news(job: Job) -> None:
    assert job.run(F).out == ""
    assert job.run(F).out.splitlines()[1:] == ["  signalling_out: not known -> fail"]


def test_other_formats_say_their_own(job: Job) -> None:
    assert job.run(P, "--confirm", "1", "--json").out == ""
    document = json.loads(job.run(F, "--confirm", "1", "--json").out)
    assert document["overall"] == "not_ready"
    assert job.run(P, "--confirm", "1", "-v").out.count("\n") > 5


def test_files_are_written_at_every_run(job: Job, tmp_path: Path) -> None:
    for status in (P, F, P):
        ended = job.run(status, "-o", str(tmp_path / "last.json"))
        assert ended.out == ""
        document = json.loads((tmp_path / "last.json").read_text())
        assert document["overall"] == ("not_ready" if status is F else "ready")


def test_an_interrupted_run_is_no_state(job: Job) -> None:
    job.run(P)
    assert job.run(F, interrupted=True, exit_code=130).out == ""
    assert job.run(F, "--confirm", "2").out == ""
    assert job.run(F, "--confirm", "2").out != ""
    with History(job.state, read_only=True) as history:
        assert history.summary(now=moment(5))[0].runs == 3


def test_the_earlier_runs_are_given_to_the_judges(
    job: Job, monkeypatch: pytest.MonkeyPatch, vsipcheck: Vsipcheck
) -> None:
    from vsipcheck import runner

    given: list[Any] = []
    run = runner.run

    async def spied(*values: Any, past: Any = (), **named: Any) -> Report:
        given.append(list(past))
        return await run(*values, **named)

    monkeypatch.setattr("vsipcheck.runner.run", spied)
    for _ in range(4):
        job.run(P)
    assert [sum(one.runs for one in past) for past in given] == [0, 1, 2, 3]
    assert {one.public_address for past in given for one in past} == {"49.36.10.7"}
    assert vsipcheck("all", "-q").code == 0  # not recorded: nothing is read or kept
    assert given[-1] == []


# --- who else is told


def test_the_command_gets_the_report_once_a_change(job: Job, tmp_path: Path) -> None:
    log = tmp_path / "log"
    for status in (P, P, F, F, F, P, P):
        job.run(status, "--on-change", f"cat >> {log}; echo >> {log}; echo ----- >> {log}")
    reports = [json.loads(text) for text in log.read_text().split("-----\n") if text.strip()]
    assert [report["overall"] for report in reports] == ["not_ready", "ready"]


def test_a_command_that_fails_is_told_and_run_again(job: Job, tmp_path: Path) -> None:
    flag = tmp_path / "works"
    command = f"cat > /dev/null; test -e {flag} && echo posted >> {tmp_path}/log"
    job.run(F, "--on-change", command)
    first = job.run(F, "--on-change", command)
    assert first.code == 4
    assert "--on-change ended with 1; it is run again after the next run" in first.err
    assert first.out.startswith("NOT READY")
    second = job.run(F, "--on-change", command)
    assert (second.code, second.out) == (4, "")  # stdout has said it already
    flag.touch()
    third = job.run(F, "--on-change", command)
    assert (third.code, third.out, third.err) == (1, "", "")
    assert job.run(F, "--on-change", command).code == 1
    assert (tmp_path / "log").read_text() == "posted\n"


def test_a_command_that_reads_nothing_or_hangs(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vsipcheck.cli.recording.COMMAND_TIMEOUT_S", 0.2)
    assert job.run(F, "--confirm", "1", "--on-change", "true").code == 1
    ended = job.run(P, "--confirm", "1", "--on-change", "sleep 60 & sleep 60")
    assert ended.code == 4
    assert "--on-change was ended: it took longer than 0.2 s" in ended.err


@pytest.fixture
def watcher() -> Iterator[tuple[str, list[str]]]:
    """A dead-man's switch on loopback: its URL, and the paths that it was asked for. /500 fails."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(500 if "500" in self.path else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_switch_is_called_at_every_run(job: Job, watcher: tuple[str, list[str]]) -> None:
    url, asked = watcher
    for status in (P, W, F, U, P):
        assert job.run(status, "--ping", f"{url}/ok", "--ping-fail", f"{url}/bad").err == ""
    assert asked == ["/ok", "/ok", "/bad", "/bad", "/ok"]


def test_a_switch_that_fails_is_recorded_and_silent(
    job: Job, watcher: tuple[str, list[str]], vsipcheck: Vsipcheck
) -> None:
    url, _ = watcher
    for path in ("ok", "500"):
        assert silent(job.run(P, "--ping", f"{url}/{path}")) == 0
    assert silent(job.run(P, "--ping", "http://127.0.0.1:1/")) == 0
    told = vsipcheck("history", "--state", str(job.state)).out
    assert "pings: 3, 2 failed (last: refused)" in told


# --- one at a time


def test_the_second_leaves_at_once_and_silently(job: Job, runs: Runs) -> None:
    job.state.parent.mkdir()
    script = "import fcntl, sys\nf = open(sys.argv[1], 'w')\nfcntl.flock(f, fcntl.LOCK_EX)\n"
    script += "print(flush=True)\nsys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", script, f"{job.state}.lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert silent(job.run(F)) == 75
        assert runs.given == []
        holder.communicate()
    assert job.run(F).code == 1


def test_splay_waits_and_is_interrupted(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*FAKE, "P", str(tmp_path / "log"), "all", "--cron", "--state", str(tmp_path / "h.sqlite"), "--splay", "3600"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "")


def test_200_runs_of_a_flapping_edge(tmp_path: Path) -> None:
    """Processes as cron starts them, some at once, some killed: exactly what --confirm promises is said."""
    log, state = tmp_path / "log", tmp_path / "h.sqlite"
    pattern = ("P" * 9 + "F") * 3 + "PFPFPFPFPF" + "F" * 8 + "PPFF" * 4 + "U" * 4 + "P" * 20
    statuses = (pattern * 3)[:200]
    script = f"""
from cli import fake_cron
fake_cron.loop({statuses!r}, {str(log)!r}, {str(state)!r})
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, env=ENVIRONMENT)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert len(told["runs"]) == 200
    assert told["runs"] == [{"P": 0, "F": 1, "U": 3}[status] for status in statuses]
    assert [at for at, said in enumerate(told["said"]) if said] == promised(statuses, 2)
    assert [at for at, complained in enumerate(told["complained"]) if complained] == []
    # Beside every fourth run a second one was started: none of them ran.
    assert told["seconds"] == [75] * 50
    lines = log.read_text().split()
    assert lines == ["begin", "end"] * 200
    connection = sqlite3.connect(state)
    assert connection.execute("SELECT count(*) FROM run").fetchone() == (200,)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_kill_9_in_mid_write_loses_at_most_that_run(tmp_path: Path) -> None:
    state = tmp_path / "h.sqlite"
    kept = 0
    for place in ("before_commit", "in_commit", "after_commit", "before_telling"):
        for status in ("P", "P"):
            ended = subprocess.run(
                [*FAKE, status, str(tmp_path / "log"), "all", "--cron", "--state", str(state)],
                capture_output=True,
                timeout=60,
                env=ENVIRONMENT,
            )
            assert ended.returncode == 0
            kept += 1
        killed = subprocess.run(
            [*FAKE, f"F:{place}", str(tmp_path / "log"), "all", "--cron", "--confirm", "1", "--state", str(state)],
            capture_output=True,
            timeout=60,
            env=ENVIRONMENT,
        )
        assert killed.returncode == -signal.SIGKILL
        connection = sqlite3.connect(state)
        now = connection.execute("SELECT count(*) FROM run").fetchone()[0]
        connection.close()
        assert now == kept + (place in ("after_commit", "before_telling"))
        kept = now
        # The lock went with the process. What was not told is told by the next run that sees the same.
        again = subprocess.run(
            [*FAKE, "F", str(tmp_path / "log"), "all", "--cron", "--confirm", "1", "--state", str(state)],
            capture_output=True,
            timeout=60,
            env=ENVIRONMENT,
        )
        kept += 1
        assert again.returncode == 1
        assert again.stdout.startswith(b"NOT READY")
        subprocess.run(
            [*FAKE, "P", str(tmp_path / "log"), "all", "--cron", "--confirm", "1", "--state", str(state)],
            capture_output=True,
            timeout=60,
            env=ENVIRONMENT,
            check=True,
        )
        kept += 1


# --- the state is not as it should be


def lost(ended: Ended) -> None:
    """A run whose history is lost gives its verdict all the same. The history was asked for: that is exit code 4."""
    assert ended.code == 4
    assert ended.out.startswith("NOT READY")
    assert "the run was not recorded: " in ended.err
    assert ended.err.count("\n") == 1


def test_a_state_in_a_place_that_cannot_be(job: Job) -> None:
    job.state = Path("/proc/none/h.sqlite")
    ended = job.run(F)
    assert ended.code == 4
    assert ended.out.startswith("NOT READY")


def test_a_state_of_another_program(job: Job) -> None:
    job.state.parent.mkdir()
    connection = sqlite3.connect(job.state)
    connection.execute("CREATE TABLE mails (text)")
    connection.close()
    lost(job.run(F))


def test_without_cron_a_lost_history_is_told_too(vsipcheck: Vsipcheck, runs: Runs, tmp_path: Path) -> None:
    runs.changes = {"overall": Overall.READY}
    (tmp_path / "file").touch()
    ended = vsipcheck("all", "-q", "--record", "--state", str(tmp_path / "file" / "h.sqlite"))
    assert ended.code == 4
    assert ended.out.startswith("READY")
    assert "the run was not recorded" in ended.err


def test_a_damaged_state_is_set_aside_and_the_run_recorded(job: Job) -> None:
    job.state.parent.mkdir()
    job.state.write_text("this is no database, but something of the user's, longer than a header" * 100)
    ended = job.run(F)
    assert ended.code == 1
    assert "is damaged" in ended.err
    assert "set aside as h.sqlite." in ended.err
    (aside,) = job.state.parent.glob("h.sqlite.2*")
    assert aside.read_text().startswith("this is no database")
    assert job.run(F).err == ""


def test_a_full_disk(tmp_path: Path) -> None:
    if subprocess.run(["unshare", "-Urm", "true"], capture_output=True).returncode:
        missing = "no mount namespaces here"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    script = """
    mount -t tmpfs -o size=1M none "$1" && cd "$1" && shift
    "$@" || true
    head -c 4M /dev/zero > filler 2>/dev/null
    "$@"; code=$?
    rm filler; "$@"; echo "codes $code $?"
    """
    command = [*FAKE, "F", str(tmp_path / "log"), "all", "--cron", "--confirm", "1", "--state", "h.sqlite"]
    (tmp_path / "disk").mkdir()
    ended = subprocess.run(
        ["unshare", "-Urm", "bash", "-c", script, "bash", str(tmp_path / "disk"), *command],
        capture_output=True,
        text=True,
        timeout=60,
        env=ENVIRONMENT,
    )
    assert "full" in ended.stderr
    assert ended.stdout.endswith("codes 4 1\n"), ended
    assert ended.stdout.count("NOT READY") == 2  # the first, and the one whose history was lost


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_two_users_on_one_file(tmp_path: Path) -> None:
    """The second may read and lock, and not write: it is told so, and gives its verdict."""
    for folder in (tmp_path, *list(tmp_path.parents)[:-2]):
        folder.chmod(folder.stat().st_mode | 0o055)
    state = tmp_path / "state"
    state.mkdir()
    command = [*FAKE, "F", "/dev/null", "all", "--cron", "--confirm", "1", "--state", str(state / "h.sqlite")]
    assert subprocess.run(command, capture_output=True, timeout=60, env=ENVIRONMENT).returncode == 1
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed (util-linux)")
    other = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command],
        capture_output=True,
        text=True,
        timeout=60,
        env={**ENVIRONMENT, "HOME": "/", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    if "Permission denied" in other.stderr and "h.sqlite" not in other.stderr:
        pytest.skip("the other user may not read this Python")
    lost(Ended(other.returncode, other.stdout, other.stderr))
    assert subprocess.run(command, capture_output=True, timeout=60, env=ENVIRONMENT).returncode == 1
    with History(state / "h.sqlite", read_only=True) as history:
        assert history.summary()[0].runs == 2


# --- what cannot be done


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("all --splay 5", "--splay: expected together with --cron"),
        ("all --confirm 3", "--confirm: expected together with --cron"),
        ("all --on-change true", "--on-change: expected together with --cron"),
        ("all --record --ping http://x/", "--ping: expected together with --cron"),
        ("all --cron --confirm 0", "--confirm: expected a number from 1 to"),
        ("all --cron --splay -1", "--splay: expected seconds from 0 to"),
        ("all --cron --splay nan", "--splay: expected seconds from 0 to"),
        ("all --cron --ping x", "--ping: expected a URL with http:// or https://"),
        ("all --record --keep forever", "--keep: expected a number and h, d or w"),
        ("all --record --keep 0d", "--keep: expected a number and h, d or w"),
        ("history --json --csv", "--json and --csv exclude each other"),
        ("history --csv --since x", "--since: expected a number and h, d or w"),
        ("timer cron --every 7", "--every: expected minutes that divide an hour"),
        ("timer cron --every 90", "--every: expected minutes that divide an hour"),
        ("timer cron --every 0", "--every: expected minutes that divide an hour"),
        ("timer systemd -- --no-such", "no such option: --no-such"),
        ("timer cron -- --help", "timer: expected options of `vsipcheck all` after --"),
        ("timer", "missing argument"),
    ],
)
def test_what_cannot_be_done(refused: Callable[..., str], typed: str, told: str) -> None:
    assert told in refused(*typed.split())
