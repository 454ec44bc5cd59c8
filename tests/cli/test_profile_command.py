"""`vsipcheck profile`, `schema` and `demo --list`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from cli.conftest import Ended, Runs

from vsipcheck.profiles import DEFAULT_PROFILE, load_profile, profile_text

Call = Callable[..., Ended]


def test_list_names_every_profile_with_its_date(vsipcheck: Call) -> None:
    ended = vsipcheck("profile", "list")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(f"{DEFAULT_PROFILE}  ")
    assert "as of 2026-11-25" in ended.out


def test_show_prints_what_can_be_loaded_again(vsipcheck: Call, tmp_path: Path) -> None:
    ended = vsipcheck("profile", "show")
    assert ended.out == profile_text(DEFAULT_PROFILE)
    copy = tmp_path / "copy.toml"
    copy.write_text(ended.out)
    assert load_profile(str(copy)) == load_profile(DEFAULT_PROFILE)


def test_show_is_harmless(vsipcheck: Call, tmp_path: Path) -> None:
    hostile = tmp_path / "hostile.toml"
    hostile.write_text(profile_text(DEFAULT_PROFILE) + "# \u202e\u009b31m\n")
    assert vsipcheck("profile", "show", str(hostile)).out.endswith("# \\u202e\\x9b31m\n")


def test_check_says_ok(vsipcheck: Call) -> None:
    ended = vsipcheck("profile", "check", DEFAULT_PROFILE)
    assert ended.code == 0
    assert ended.out.startswith(f"{DEFAULT_PROFILE}: ok: ")


def test_schema_is_json_schema(vsipcheck: Call) -> None:
    ended = vsipcheck("schema")
    assert json.loads(ended.out)["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_demo_list_names_the_scenarios(vsipcheck: Call) -> None:
    ended = vsipcheck("demo", "--list")
    assert ended.code == 0
    assert {"healthy", "cgnat", "not-whitelisted"} <= {line.split()[0] for line in ended.out.splitlines()}


def test_demo_runs_the_default_profile_on_a_simulated_network(vsipcheck: Call, runs: Runs) -> None:
    ended = vsipcheck("demo", "healthy", "--json")
    assert ended.code == 0
    network, profile, _ = runs.given[-1]
    assert network.simulated is True
    assert profile == load_profile(DEFAULT_PROFILE)
