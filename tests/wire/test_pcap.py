"""The capture is what foreign readers say it is: RFC vectors for the checksum, tshark and sngrep for the file."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from vsipcheck.wire.errors import WireError
from vsipcheck.wire.pcap import Chunk, Conversation, capture, checksum

OPTIONS = (
    b"OPTIONS sip:pstn.example SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.10:40000;branch=z9hG4bKa;rport\r\n"
    b"Max-Forwards: 70\r\nFrom: <sip:probe@192.0.2.10>;tag=f\r\nTo: <sip:pstn.example>\r\nCall-ID: c1\r\n"
    b"CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
)
OK = OPTIONS.replace(b"OPTIONS sip:pstn.example SIP/2.0", b"SIP/2.0 200 OK").replace(b"Max-Forwards: 70\r\n", b"")
START = 1_790_000_000_000_000  # 2026-09-21T14:13:20Z, in microseconds
SECOND = 1_000_000
CLIENT, SERVER = ("192.0.2.10", 40000), ("198.51.100.5", 5070)
CLIENT6, SERVER6 = ("2001:db8::10", 40000), ("2001:db8:1::5", 5070)


def foreign(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        missing = f"{program} is not installed: `tests/run` installs it as root on Debian"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    return found


def tshark(file: Path, *arguments: str) -> list[list[str]]:
    """What tshark reads, a list of fields for each packet. Checksums are verified."""
    command = [foreign("tshark"), "-n", "-r", str(file), "-d", "tcp.port==5070,sip", "-d", "udp.port==5070,sip"]
    for check in ("ip.check_checksum", "tcp.check_checksum", "udp.check_checksum"):
        command += ["-o", f"{check}:TRUE"]
    ended = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60, check=True)
    return [line.split("\t") for line in ended.stdout.splitlines()]


def fields(file: Path, *names: str) -> list[list[str]]:
    return tshark(file, "-T", "fields", *(word for name in names for word in ("-e", name)))


def written(tmp_path: Path, *conversations: Conversation) -> Path:
    file = tmp_path / "sip.pcap"
    file.write_bytes(capture(conversations))
    return file


def asked(client: tuple[str, int] = CLIENT, server: tuple[str, int] = SERVER, **changes: object) -> Conversation:
    values: dict[str, object] = {
        "transport": "tcp",
        "client": client,
        "server": server,
        "opened_us": START,
        "rtt_us": 30_000,
        "chunks": (Chunk(True, START + SECOND, OPTIONS), Chunk(False, START + SECOND + 40_000, OK)),
    }
    return Conversation(**{**values, **changes})  # type: ignore[arg-type]


def test_the_checksum_of_rfc_1071() -> None:
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == ~0xDDF2 & 0xFFFF  # §3
    # A header whose checksum is in it sums up to nothing: that of the ICMP example in RFC 791's appendix has none, so
    # the well-known one of Wikipedia's "IPv4 header checksum".
    assert checksum(bytes.fromhex("45000073000040004011b861c0a80001c0a800c7")) == 0
    assert checksum(b"\x01") == ~0x0100 & 0xFFFF  # an odd octet is padded on its right


@pytest.mark.parametrize(("client", "server"), [(CLIENT, SERVER), (CLIENT6, SERVER6)], ids=["ipv4", "ipv6"])
def test_tshark_reassembles_a_connection(tmp_path: Path, client: tuple[str, int], server: tuple[str, int]) -> None:
    file = written(tmp_path, asked(client, server))
    version = "ip" if client is CLIENT else "ipv6"
    seen = fields(file, f"{version}.src", "tcp.srcport", f"{version}.dst", "sip.Method", "sip.Status-Code", "sip.CSeq")
    spoken = [packet for packet in seen if packet[3:] != ["", "", ""]]
    assert spoken == [
        [client[0], "40000", server[0], "OPTIONS", "", "1 OPTIONS"],
        [server[0], "5070", client[0], "", "200", "1 OPTIONS"],
    ]
    moments = [float(packet[0]) for packet in fields(file, "frame.time_epoch")]
    assert moments == sorted(moments)
    assert moments[0] == START / 1e6
    assert moments[1] - moments[0] == pytest.approx(0.03, abs=1e-5)
    assert START / 1e6 + 1.04 in moments
    flags = [packet[0] for packet in fields(file, "tcp.flags.str")]
    assert [flag.replace("·", "") for flag in flags[:3]] == ["S", "AS", "A"]
    assert [flag.replace("·", "") for flag in flags[-3:]] == ["AF", "AF", "A"]
    assert tshark(file, "-Y", "tcp.analysis.flags || _ws.malformed || tcp.checksum.status == 0") == []
    assert tshark(file, "-Y", "ip.checksum.status == 0") == []


def test_long_messages_are_segmented_and_put_together_again(tmp_path: Path) -> None:
    long = OK.replace(b"CSeq", b"X-Filler: " + b"a" * 5000 + b"\r\nCSeq")
    file = written(tmp_path, asked(chunks=(Chunk(True, START + 1, OPTIONS), Chunk(False, START + 2, long))))
    assert [packet for packet in fields(file, "sip.Status-Code") if packet != [""]] == [["200"]]
    assert tshark(file, "-Y", "tcp.analysis.flags") == []
    lengths = [int(packet[0]) for packet in fields(file, "tcp.len")]
    assert max(lengths) == 1400
    assert sum(lengths) == len(OPTIONS) + len(long)


def test_what_the_record_lacks_is_a_packet_cut_short(tmp_path: Path) -> None:
    chunks = (Chunk(True, START + 1, OPTIONS), Chunk(False, START + 2, OK[:40], size=900), Chunk(True, START + 3, b"."))
    file = written(tmp_path, asked(chunks=chunks))
    cut = [packet for packet in fields(file, "frame.cap_len", "frame.len", "tcp.len") if packet[0] != packet[1]]
    assert cut == [["80", "940", "900"]]
    assert tshark(file, "-Y", "tcp.analysis.flags") == []


@pytest.mark.parametrize(
    ("end", "flags"),
    [("reset", ["S", "AR"]), ("open", ["S"])],
)
def test_a_connection_that_never_was(tmp_path: Path, end: str, flags: list[str]) -> None:
    file = written(tmp_path, asked(chunks=(), end=end))
    assert [packet[0].replace("·", "") for packet in fields(file, "tcp.flags.str")] == flags


@pytest.mark.parametrize(
    ("end", "last"),
    [("fin", ["AF", "AF", "A"]), ("fin_by_server", ["AF", "AF", "A"]), ("reset", ["AR"]), ("open", ["A"])],
)
def test_how_a_connection_ends(tmp_path: Path, end: str, last: list[str]) -> None:
    file = written(tmp_path, asked(end=end))
    seen = [[flags.replace("·", ""), source] for flags, source in fields(file, "tcp.flags.str", "ip.src")]
    assert [flags for flags, _ in seen[-len(last) :]] == last
    if end != "open":
        assert seen[-len(last)][1] == (CLIENT[0] if end == "fin" else SERVER[0])
    assert tshark(file, "-Y", "tcp.analysis.flags") == []


@pytest.mark.parametrize(("client", "server"), [(CLIENT, SERVER), (CLIENT6, SERVER6)], ids=["ipv4", "ipv6"])
def test_udp(tmp_path: Path, client: tuple[str, int], server: tuple[str, int]) -> None:
    file = written(tmp_path, asked(client, server, transport="udp"))
    assert fields(file, "udp.srcport", "sip.Method", "sip.Status-Code", "udp.checksum.status") == [
        ["40000", "OPTIONS", "", "1"],
        ["5070", "", "200", "1"],
    ]


def test_conversations_are_told_apart_and_sorted_by_time(tmp_path: Path) -> None:
    late = asked(("192.0.2.10", 40001), opened_us=START + 5)
    file = written(tmp_path, late, asked())
    streams = fields(file, "tcp.stream", "tcp.port")
    assert {stream for stream, _ in streams} == {"0", "1"}
    assert streams[0][1].startswith("40000")


def test_sngrep_opens_it(tmp_path: Path) -> None:
    file = written(tmp_path, asked(), asked(CLIENT6, SERVER6))
    # -N: no interface; it writes the dialogs that it understood to another capture, and ends.
    ended = subprocess.run(
        [foreign("sngrep"), "-N", "-q", "-I", str(file), "-O", str(tmp_path / "dialogs.pcap")],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "TERM": "xterm"},
    )
    assert ended.returncode == 0, ended.stderr
    understood = fields(tmp_path / "dialogs.pcap", "sip.Method", "sip.Status-Code")
    assert ["OPTIONS", ""] in understood
    assert ["", "200"] in understood


def test_the_file_header() -> None:
    assert capture([]) == struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 101)


@pytest.mark.parametrize(
    "changes",
    [
        {"client": ("192.0.2.10", 70000)},
        {"client": ("host.example", 1)},
        {"server": SERVER6},
        {"transport": "sctp"},
        {"opened_us": -1},
        {"opened_us": 2**53},
    ],
    ids=str,
)
def test_what_no_capture_can_hold(changes: dict[str, object]) -> None:
    with pytest.raises(WireError):
        capture([asked(**changes)])
