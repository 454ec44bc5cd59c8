"""Secrets that the caller's environment, URLs or profile hold reach no output: planted ones are searched for."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from vsipcheck.profiles import DEFAULT_PROFILE, load_profile, profile_text
from vsipcheck.profiles.secrets import without_secrets

MARK = "s3cr3tMARK"  # stands in every planted secret


def test_no_planted_secret_reaches_an_output(tmp_path: Path) -> None:
    profile = tmp_path / "own.toml"
    text = profile_text(DEFAULT_PROFILE)
    profile.write_text(
        text.replace("https://api.ipify.org/", f"https://api.ipify.org/{MARK}0123456789/?format=text&key={MARK}#{MARK}")
    )
    # A run through the real command: in a namespace of its own, where there is nobody to send to.
    run = [
        *("unshare", "-Urn", sys.executable, "-m", "vsipcheck", "all"),
        *("--cron", "--profile", str(profile), "--state", str(tmp_path / "h.sqlite"), "--timeout", "0.3", "-v"),
        *("--deadline", "3", "--confirm", "1", "--on-change", f"cat > {tmp_path}/changed"),
        *("--ping", f"http://user:{MARK}@127.0.0.1:1/{MARK}?token={MARK}"),
        *("--ping-fail", f"http://user:{MARK}@127.0.0.1:1/{MARK}?token={MARK}"),
        *("--ticket", str(tmp_path / "t.zip")),
    ]
    for format in ("json", "html", "markdown", "junit", "prometheus", "nagios", "terminal"):
        run += ["-o", f"{format}:{tmp_path}/out.{format}"]
    environment = {
        **os.environ,
        "HTTP_PROXY": f"http://user:{MARK}@127.0.0.1:1",
        "HTTPS_PROXY": f"http://user:{MARK}@127.0.0.1:1",
        "ALL_PROXY": f"http://user:{MARK}@127.0.0.1:1",
        "VSIPCHECK_TEST_TOKEN": MARK,
    }
    ended = subprocess.run(run, capture_output=True, env=environment, timeout=60)
    if b"unshare" in ended.stderr:
        missing = "no user namespaces here"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    assert ended.returncode in (1, 3), ended.stderr
    said = {"stdout": ended.stdout, "stderr": ended.stderr}
    with zipfile.ZipFile(tmp_path / "t.zip") as ticket:
        assert len(ticket.namelist()) == 5
        said |= {f"ticket/{name}": ticket.read(name) for name in ticket.namelist()}
    for file in sorted(tmp_path.iterdir()):
        if file != profile:
            said[file.name] = file.read_bytes()
    assert {"changed", "h.sqlite", "out.html", "out.json"} <= set(said)
    assert [name for name, data in said.items() if MARK.encode() in data] == []
    again = subprocess.run(
        [sys.executable, "-m", "vsipcheck", "history", "--json", "--state", str(tmp_path / "h.sqlite")],
        capture_output=True,
        env=environment,
        timeout=60,
    )
    assert again.returncode == 0
    assert b'"pings_failed": 1' in again.stdout
    assert MARK.encode() not in again.stdout + again.stderr


@pytest.mark.parametrize(
    "typed",
    [
        ["all", "--cron", "--ping", f"ftp://{MARK}@host/"],
        ["all", "--cron", "--ping", f"http://u:{MARK}@:x"],
        ["all", "--cron", "--ping-fail", MARK],
        ["all", "--ping", f"https://host/{MARK}"],
    ],
)
def test_a_url_that_is_refused_is_not_told_back(typed: list[str]) -> None:
    ended = subprocess.run([sys.executable, "-m", "vsipcheck", *typed], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert MARK not in ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://api.example/", "https://api.example/"),
        ("https://api.example", "https://api.example"),
        ("https://api.example/ip/v4", "https://api.example/ip/v4"),
        ("https://api.example/?format=json", "https://api.example/?format=..."),
        ("https://api.example/ip?abc", "https://api.example/ip?..."),
        ("https://api.example/6f1c2a90b3d4/ip", "https://api.example/.../ip"),
        ("https://u:p@api.example/#t", "https://api.example/#..."),
    ],
)
def test_urls_as_a_report_shows_them(url: str, shown: str) -> None:
    import msgspec

    profile = load_profile(DEFAULT_PROFILE)
    service = msgspec.structs.replace(profile.echo_services[0], url=url)
    report = without_secrets(msgspec.structs.replace(profile, echo_services=(service,)))
    assert report.echo_services[0].url == shown
