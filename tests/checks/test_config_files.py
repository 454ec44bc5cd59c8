"""Reading a configuration: what is followed and what is not, and that no secret is ever written down."""

from __future__ import annotations

import asyncio
import io
import os
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from checks.config_lint import PROFILE, facts_of, lint_paths, only, settings_of

from vsipcheck.checks.base import Context, Recorder
from vsipcheck.checks.config import check as config
from vsipcheck.checks.config.files import MAX_BYTES, Dialect, configuration_of, dialect_of, read_all
from vsipcheck.model import Note, Status
from vsipcheck.net.host import HostNetwork

TRUNK = "[trunk]\ntype=peer\nhost=pstn.in2.exotel.com\nport=5070\ntransport=tcp\n"


def read(*paths: str) -> list[Note]:
    notes: list[Note] = []
    read_all(paths, notes.append)
    return notes


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_conf", ".conf").replace("_xml", ".xml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_is_recorded_without_its_secrets(folder: Path) -> None:
    write(folder, sip_conf=TRUNK + "secret=s3cr3tMARK\nregister => me:s3cr3tMARK@pstn.in2.exotel.com\n; old s3cret\n")
    (note,) = read("sip.conf")
    assert (note.topic, note.text) == ("file", "sip.conf, 8 lines, 2 secrets masked")
    assert "s3cr3tMARK" not in msgspec.json.encode(note).decode()
    assert note.values["masked_lines"] == [6, 7]
    assert {"path", "text", "failure", "included_from", "given"} <= set(note.values)


def test_includes_are_followed_and_told_by_the_path_that_was_given(folder: Path) -> None:
    write(folder, conf__sip_conf="[general]\ntcpenable=yes\n#include peers/*.conf\n", conf__peers__a_conf=TRUNK)
    notes = read("conf/sip.conf")
    assert [(note.values["path"], note.values["included_from"]) for note in notes] == [
        ("conf/sip.conf", None),
        ("conf/peers/a.conf", "conf/sip.conf:3"),
    ]
    peer = only(lint_paths("conf/sip.conf"), "config.peer")
    assert (peer.status, peer.target, peer.location) == (
        Status.PASS,
        "conf/peers/a.conf [trunk]",
        "conf/peers/a.conf:3",
    )


def test_an_include_that_was_named_too_is_read_once(folder: Path) -> None:
    write(folder, sip_conf="[general]\n#include trunk.conf\n", trunk_conf=TRUNK)
    for paths in (("sip.conf", "trunk.conf"), ("trunk.conf", "sip.conf"), ("./trunk.conf", "sip.conf")):
        findings = lint_paths(*paths)
        assert len([each for each in findings if each.id == "config.peer"]) == 1
        assert not [each for each in findings if each.id == "config.files" and each.status is not Status.PASS]


@pytest.mark.parametrize(
    "files",
    [
        {"sip_conf": TRUNK + "#include sip.conf\n"},
        {"sip_conf": "[general]\n#include b.conf\n", "b_conf": TRUNK + "#include sip.conf\n"},
    ],
)
def test_files_that_include_each_other_end(folder: Path, files: dict[str, str]) -> None:
    write(folder, **files)
    for paths in (("sip.conf",), ("sip.conf", "b.conf"), ("b.conf", "sip.conf")):
        assert [each for each in lint_paths(*paths) if each.id == "config.peer"]


@pytest.mark.parametrize("pattern", ["/etc/passwd", "../outside.conf", "../*.conf", "link.conf"])
def test_nothing_outside_the_folder_is_read(folder: Path, pattern: str) -> None:
    write(folder, outside_conf="[x]\npassword=s3cr3tMARK\n", conf__sip_conf=f"{TRUNK}#include {pattern}\n")
    (folder / "conf" / "link.conf").symlink_to("../outside.conf")
    notes = read("conf/sip.conf")
    assert [note.values["path"] for note in notes if note.values["text"] is not None] == ["conf/sip.conf"]
    assert [note.values["failure"] for note in notes[1:]] == ["local_denied"]
    findings = [each for each in lint_paths("conf/sip.conf") if each.id == "config.files"]
    assert {each.reason for each in findings} == {"outside", "include_not_followed"}
    assert {each.status for each in findings} == {Status.UNKNOWN}
    assert "s3cr3tMARK" not in str(findings)


def test_a_file_that_is_a_link_itself_is_what_was_asked_for(folder: Path) -> None:
    """FreePBX keeps its files elsewhere; what they include lies where the link does."""
    write(folder, real__sip_conf="[general]\n#include trunk.conf\n", etc__trunk_conf=TRUNK)
    (folder / "etc" / "sip.conf").symlink_to("../real/sip.conf")
    assert only(lint_paths("etc/sip.conf"), "config.peer").target == "etc/trunk.conf [trunk]"


def test_a_missing_include_is_a_warning(folder: Path) -> None:
    write(folder, sip_conf=TRUNK + "#include nowhere.conf\n#tryinclude nowhere.conf\n")
    found = only(lint_paths("sip.conf"), "config.files")
    assert (found.status, found.reason, found.location) == (Status.WARN, "include_missing", "sip.conf:6")


def test_no_program_is_run(folder: Path) -> None:
    write(folder, sip_conf=f"{TRUNK}#exec /usr/bin/touch {folder}/ran\n")
    found = only(lint_paths("sip.conf"), "config.files")
    assert (found.status, found.reason) == (Status.UNKNOWN, "part_unread")
    assert not (folder / "ran").exists()


def test_what_cannot_be_read_is_a_finding(folder: Path) -> None:
    write(folder, secret_conf="x", large_conf="x" * (MAX_BYTES + 1), fine_conf=TRUNK)
    (folder / "binary.conf").write_bytes(b"\x7fELF\0\0")
    os.mkdir("dir")
    reasons = {"no.conf": "missing", "dir": "directory", "large.conf": "too_large", "binary.conf": "no_text"}
    if os.geteuid() != 0:  # root may read anything
        os.chmod("secret.conf", 0)
        reasons["secret.conf"] = "not_permitted"
    findings = [each for each in lint_paths(*reasons, "bad\0name") if each.id == "config.files"]
    assert {each.target: each.reason for each in findings} == {**reasons, "bad\\x00name": "read_error"}
    assert {each.status for each in findings} == {Status.UNKNOWN}


def test_stdin_is_read_and_includes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, trunk_conf=TRUNK)
    text = TRUNK + "#include trunk.conf\n"
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
    findings = lint_paths("-")
    assert only(findings, "config.peer").target == "- [trunk]"
    assert only(findings, "config.files").reason == "include_not_followed"
    assert not [each for each in findings if each.patch]  # there is nothing to apply it to


@pytest.mark.parametrize(
    ("path", "text", "dialect"),
    [
        ("/etc/asterisk/sip.conf", "", Dialect.CHAN_SIP),
        ("sip_custom.conf", "", Dialect.CHAN_SIP),
        ("pjsip.endpoint.conf", "", Dialect.PJSIP),
        ("pjsip_wizard.conf", "", Dialect.PJSIP),
        ("rtp.conf", "", Dialect.RTP),
        ("trunk.txt", "[a]\ntype = endpoint\n", Dialect.PJSIP),
        ("-", "[a]\ntype=friend\n", Dialect.CHAN_SIP),
        ("-", "[general]\nrtpstart=1\n", Dialect.RTP),
        ("dialplan", "[in]\nexten => s,1,Answer\n", Dialect.EXTENSIONS),
        ("x.xml", "  <include/>", Dialect.FREESWITCH),
        ("sip.conf", "<profile/>", Dialect.FREESWITCH),
        ("kamailio.cfg", "", Dialect.KAMAILIO),
        ("proxy", "#!KAMAILIO\n", Dialect.KAMAILIO),
        ("notes.txt", "hello", Dialect.OTHER),
    ],
)
def test_kinds_of_files(path: str, text: str, dialect: Dialect) -> None:
    assert dialect_of(path, text) is dialect


def test_a_judge_needs_no_disk(folder: Path) -> None:
    """What a report holds is enough to judge it again."""
    write(
        folder, sip_conf="[general]\n#include peers/*.conf\n", peers__a_conf=TRUNK, peers__b_conf="[b]\nhost=dynamic\n"
    )
    notes = read("sip.conf")
    stored = [msgspec.json.decode(msgspec.json.encode(note), type=Note) for note in notes]
    for path in folder.rglob("*.conf"):
        path.unlink()
    configuration = configuration_of(facts_of(stored))
    (handed,) = configuration.handed
    assert handed.asterisk is not None
    assert [section.name for section in handed.asterisk.sections] == ["general", "trunk", "b"]
    assert not handed.asterisk.deviations


def test_a_diff_holds_a_carriage_return_where_the_file_does(folder: Path) -> None:
    (folder / "sip.conf").write_bytes(TRUNK.replace("5070", "5060").replace("\n", "\r\n").encode())
    patch = only(lint_paths("sip.conf"), "config.peer").patch
    assert patch is not None
    assert "-port=5060\r\n+port=5070\r\n" in patch


def test_what_is_no_utf_8_is_in_no_diff(folder: Path) -> None:
    (folder / "sip.conf").write_bytes(b"; B\xfcro\n" + TRUNK.replace("5070", "5060").encode())
    patch = only(lint_paths("sip.conf"), "config.peer").patch
    assert patch is not None
    assert "ro\n" not in patch


def measuring(path: str, *, patience_s: float) -> Recorder:
    """What the check records of a file within that time."""

    async def run() -> Recorder:
        with HostNetwork() as network:
            recorder = Recorder("config", network.now_ms)
            context = Context(
                network=network,
                profile=PROFILE,
                settings=settings_of(pbx_config=(path,)),
                recorders={},
                progress=lambda *_: None,
                remaining_s=lambda: 1.0,
                stopping=lambda: False,
            )
            try:
                await asyncio.wait_for(config.measure(context, recorder), patience_s)
            finally:
                assert network.traffic().packets_sent == 0
            return recorder

    return asyncio.run(run())


def test_a_pipe_that_nobody_writes_to_does_not_hold_the_run(folder: Path) -> None:
    os.mkfifo("pipe")
    with pytest.raises(TimeoutError):
        measuring("pipe", patience_s=0.05)
    (folder / "pipe").write_text("")  # lets the thread go


def test_measuring_sends_nothing(folder: Path) -> None:
    write(folder, sip_conf=TRUNK)
    assert [type(fact) for fact in measuring("sip.conf", patience_s=10).facts] == [Note]
