"""The bench's own pieces, without measuring: what it prints, what it asks other tools, how it takes bad usage."""

from __future__ import annotations

from typing import Any

import pytest

from bench import __main__ as bench_command
from bench import blackhole, path, startup, sweep, tools
from bench.figures import Figure, Row, Sample, Skipped, number, summary, table

REPORT: dict[str, Any] = {
    "profile": {
        "signalling": {"port": 5070, "pops": [{"fqdn": "a.invalid"}, {"fqdn": "b.invalid"}]},
        "media": {"addresses": [{"address": "192.0.2.1"}, {"address": "192.0.2.2"}]},
        "stun_servers": [{"host": "stun.invalid", "port": 3478}],
        "echo_services": [{"url": "https://echo.invalid/"}],
    },
    "evidence": {
        "dns": {"facts": [{"server": None}, {"server": "192.0.2.53"}, {"server": "192.0.2.53"}]},
        "media": {
            "facts": [
                {"topic": "sweep", "values": {"packets": 6, "duration_ms": 2.0}},
                {"method": "sample", "target": "192.0.2.1", "first_port": 10001},
                {"method": "sample", "target": "192.0.2.1", "first_port": 10000},
                {"method": "sample", "target": "192.0.2.2", "first_port": 30000},
                {"method": "sweep", "outcome": "icmp", "first_port": 10, "last_port": 13},
                {"method": "sweep", "outcome": "silent", "first_port": 14, "last_port": 15},
            ]
        },
    },
}


@pytest.mark.parametrize(
    ("figure", "aim", "said"),
    [
        (Figure("f", 1.1, "x", 1.3), "<= 1.3 x", "met (0.85 of it)"),
        (Figure("f", 1.3, "x", 1.3), "<= 1.3 x", "met (1.00 of it)"),
        (Figure("f", 15.0, "x", 10.0), "<= 10 x", "MISSED by 5 x (50 %)"),
        (Figure("f", 30.0, "x", 15.0, "at_least"), ">= 15 x", "met (2.00 of it)"),
        (Figure("f", 12.0, "x", 15.0, "at_least"), ">= 15 x", "MISSED by 3 x (20 %)"),
        (Figure("f", 12.0, "x"), "", ""),
    ],
)
def test_a_figure_says_how_it_stands_to_its_aim(figure: Figure, aim: str, said: str) -> None:
    assert (figure.aim_text(), figure.against_aim()) == (aim, said)


def test_a_sample_tells_the_noise() -> None:
    assert Sample((0.002, 0.001, 0.010)).spread("ms", 1000) == "1 / 2 / 10 ms, n=3"


@pytest.mark.parametrize(("value", "text"), [(0.98765, "0.988"), (15.04, "15"), (120004.0, "120,004")])
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


def test_the_table_aligns_its_columns_and_names_what_was_skipped() -> None:
    rows: list[Row] = [
        Figure("start", 1.5, "x", 1.3, noise="1 / 2 / 3 ms, n=3"),
        Skipped("a long name", "no such program"),
    ]
    title, line, head, first, second = table("Title", rows).splitlines()
    assert (title, line) == ("Title", "=====")
    assert head.index("measured") == first.index("1.5 x") == second.index("skipped: no such program")
    assert head.index("noise") == first.index("1 / 2 / 3")


def test_the_last_line_counts_the_aims() -> None:
    rows: list[Row] = [Figure("a", 1, "x", 2), Figure("b", 3, "x", 2), Figure("c", 3, "x"), Skipped("d", "why")]
    assert summary(rows) == "1 of 2 aims met; missed: b by 1 x (50 %); skipped: d"


def test_the_tools_are_asked_for_the_facts_of_the_report() -> None:
    commands = {work.program: work.commands for work in tools.equivalent_work(REPORT)}
    assert set(commands) == set(tools.PACKAGES)
    assert ("dig", "@192.0.2.53", "b.invalid", "AAAA") in commands["dig"]
    assert len(commands["dig"]) == 4
    assert commands["nmap"] == (("nmap", "-sU", "-p", "10000,10001", "192.0.2.1", "192.0.2.2"),)
    assert commands["turnutils_stunclient"] == (("turnutils_stunclient", "-p", "3478", "stun.invalid"),)
    assert commands["curl"] == (("curl", "-sS", "https://echo.invalid/"),)


def test_the_sweep_is_read_from_its_report() -> None:
    assert (sweep.packets(REPORT), sweep.attributed(REPORT)) == (6, 4)


def test_measurements_take_turns_and_the_first_turn_is_dropped() -> None:
    order: list[str] = []

    def measure_once(name: str) -> float:
        order.append(name)
        return float(len(order))

    samples = startup.interleave({"a": lambda: measure_once("a"), "b": lambda: measure_once("b")}, runs=2)
    assert order == ["a", "b"] * 3
    assert samples["a"].values == (3.0, 5.0)


def test_a_part_that_there_is_not_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench_command.main(["startup", "nonsense"]) == 2
    assert capsys.readouterr().err == "usage: python -m bench [startup|all|blackhole|sweep|path|history]...\n"


def test_a_missing_command_is_bad_usage(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSIPCHECK_BIN", "/nonexistent/vsipcheck")
    assert bench_command.main([]) == 2
    assert "/nonexistent/vsipcheck is not there" in capsys.readouterr().err


@pytest.mark.parametrize("part", [tools, blackhole, sweep])
def test_without_a_lab_a_part_says_why(part: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part, "obstacle", lambda: "no namespaces here")
    assert [row.why for row in part.measure()] == ["no namespaces here"]


def test_the_routers_of_other_tools_are_read_from_their_tables() -> None:
    traceroute = "traceroute to 182.76.143.61 (182.76.143.61), 30 hops max\n 1  192.168.10.1  0.05 ms\n 2  * * *\n"
    mtr = "HOST: x   Loss%\n  1.|-- 192.168.10.1  0.0%\n  2.|-- ???  100.0\n  3.|-- 182.76.143.61  0.0%\n"
    assert path.routers(traceroute, "182.76.143.61") == ["192.168.10.1"]
    assert path.routers(mtr, "182.76.143.61") == ["192.168.10.1"]
