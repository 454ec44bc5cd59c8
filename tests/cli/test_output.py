"""Files are whole or untouched, stdout carries the chosen format alone, a lost output is told and costs no other."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import Ended, Runs

from vsipcheck.cli import output
from vsipcheck.cli.output import OutputError, write_file

Call = Callable[..., Ended]


def test_stdout_is_text_for_a_person_unless_json_is_asked_for(vsipcheck: Call, runs: Runs) -> None:
    assert "\x1b" not in vsipcheck("dns").out
    for typed in (["--json"], ["--format", "json"], ["--json", "--format", "json", "--quiet"]):
        ended = vsipcheck("dns", *typed)
        assert (ended.code, ended.err) == (0, "")
        assert json.loads(ended.out)["schema"] == "vsipcheck.report/1"


def test_quiet_is_one_line(vsipcheck: Call, runs: Runs) -> None:
    assert vsipcheck("dns", "--quiet").out.count("\n") == 1


def test_the_exit_code_is_the_reports(vsipcheck: Call, runs: Runs) -> None:
    runs.changes["exit_code"] = 3
    assert vsipcheck("dns", "-q").code == 3


def test_the_format_of_a_file_comes_from_prefix_then_suffix_then_stdout(
    vsipcheck: Call, runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    typed = ["a.json", "json:b.txt", "terminal:c.json", "d.txt", "e", "./json:f", "C:g"]
    arguments = [word for file in typed for word in ("-o", file)]
    assert vsipcheck("dns", "--json", *arguments).code == 0
    kinds = {path.name: path.read_text()[:1] == "{" for path in tmp_path.iterdir()}
    assert kinds == {
        "a.json": True,
        "b.txt": True,
        "c.json": False,
        "d.txt": False,
        "e": True,
        "json:f": True,
        "C:g": True,
    }
    assert vsipcheck("dns", "-o", "e").code == 0
    assert (tmp_path / "e").read_text()[:1] != "{"


def test_a_lost_file_is_told_and_the_others_are_written(vsipcheck: Call, runs: Runs, tmp_path: Path) -> None:
    lost, kept = tmp_path / "missing" / "a.json", tmp_path / "b.json"
    ended = vsipcheck("dns", "--json", "-o", str(lost), "-o", str(kept))
    assert ended.code == 4
    assert ended.err == f"vsipcheck: cannot write {lost}: No such file or directory\n"
    assert json.loads(ended.out) == json.loads(kept.read_text())


def test_one_renderers_fault_costs_no_other_output(
    vsipcheck: Call, runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> str:
        raise RuntimeError("no")

    monkeypatch.setitem(__import__("vsipcheck.render", fromlist=["FORMATS"]).FORMATS, "terminal", broken)
    ended = vsipcheck("dns", "-o", str(tmp_path / "a.json"))
    assert (ended.code, ended.out) == (4, "")
    assert ended.err == "vsipcheck: internal error: RuntimeError: no (VSIPCHECK_DEBUG=1 shows where)\n"
    assert json.loads((tmp_path / "a.json").read_text())


def test_a_new_file_has_the_mode_that_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_file(str(tmp_path / "new"), "text")
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o640


def test_an_existing_file_keeps_its_mode_and_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    target.chmod(0o604)
    link.symlink_to("target")
    write_file(str(link), "new")
    assert link.is_symlink()
    assert (target.read_text(), target.stat().st_mode & 0o777) == ("new", 0o604)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "target"]


def test_a_name_as_long_as_names_can_be(tmp_path: Path) -> None:
    write_file(str(tmp_path / ("x" * 255)), "text")
    with pytest.raises(OutputError, match="File name too long"):
        write_file(str(tmp_path / ("x" * 256)), "text")


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("write", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))),
        ("fsync", OSError(errno.EIO, os.strerror(errno.EIO))),
        ("open", OSError(errno.EROFS, os.strerror(errno.EROFS))),
    ],
)
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, error: OSError
) -> None:
    target = tmp_path / "report"
    target.write_text("old")

    def fail(*_: Any, **__: Any) -> int:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(OutputError, match=f"cannot write .*report: {error.strerror}"):
            write_file(str(target), "new")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_an_interrupt_while_writing_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_file(str(tmp_path / "report"), "text")
    assert list(tmp_path.iterdir()) == []


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data)[:3]))
    write_file(str(tmp_path / "report"), "0123456789")
    assert (tmp_path / "report").read_text() == "0123456789"


def test_a_file_that_was_made_read_only_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "report"
    target.write_text("old")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anything
    with pytest.raises(OutputError, match="Permission denied"):
        write_file(str(target), "new")
    assert target.read_text() == "old"


def test_a_directory_is_no_target(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="Is a directory"):
        write_file(str(tmp_path), "text")


def test_a_pipe_is_written_straight(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write_file(str(pipe), "x" * 100_000)
    reader.join()
    assert read == ["x" * 100_000]
    assert pipe.is_fifo()


def test_a_full_device_is_told() -> None:
    with pytest.raises(OutputError, match="/dev/full: No space left on device"):
        write_file("/dev/full", "text")


def test_a_descriptor_of_ours_is_appended_to_and_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.write(descriptor, b"before ")
    write_file(f"/dev/fd/{descriptor}", "after")
    os.close(descriptor)
    assert path.read_text() == "before after"
    with pytest.raises(OutputError, match="Bad file descriptor"):
        write_file(f"/proc/self/fd/{descriptor}", "text")


def test_text_that_utf8_cannot_hold_is_escaped(tmp_path: Path) -> None:
    write_file(str(tmp_path / "report"), "a\udcffb")
    assert (tmp_path / "report").read_text() == "a\\udcffb"


def test_a_closed_stderr_takes_nothing_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", None)
    output.complain("nobody hears this")
