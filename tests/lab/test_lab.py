"""The lab itself, proven by programs that share no code with the command: dig, curl, SIPp, traceroute, coturn."""

from __future__ import annotations

import errno
import itertools
import json
import os
import select
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab import Answerer, Kamailio, Lab, Resolver, Rule, Scenario
from lab.scenario import (
    ECHO,
    IN2,
    IN2_ADDRESS,
    IN4,
    IN4_ADDRESS,
    MEDIA,
    PUBLIC,
    SECOND_RESOLVER,
    STUN,
    Nat,
    Site,
    both_names,
    loss,
    no_time_exceeded,
)

PROBE = str(Path(__file__).with_name("probe.py"))
PROFILE = Path(__file__).parents[2] / "vsipcheck" / "profiles" / "exotel-tcp-mumbai.toml"
SERVERS = [f"{address}:{port}" for address, port in STUN.values()]
LOCAL_PORT = 40404

SIPP_OPTIONS = """<?xml version="1.0"?><scenario name="OPTIONS"><send><![CDATA[
OPTIONS sip:[remote_ip]:[remote_port];transport=tcp SIP/2.0
Via: SIP/2.0/TCP [local_ip]:[local_port];branch=[branch];rport
From: <sip:a@example.net>;tag=[call_number]
To: <sip:[remote_ip]>
Call-ID: [call_id]
CSeq: 1 OPTIONS
Max-Forwards: 70
Content-Length: 0

]]></send><recv response="200"/></scenario>
"""


@pytest.fixture(scope="module")
def healthy() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


def probe(lab: Lab, *arguments: object) -> Any:
    done = lab.run([sys.executable, "-I", PROBE, *map(str, arguments)])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def hops(lab: Lab, address: str, *options: str) -> list[str]:
    command = ("traceroute", "-n", "-U", "-p", "20000", "-q", "1", "-N", "1", "-w", "1", "-m", "8", *options, address)
    done = lab.run(command)
    return [line.split()[1] for line in done.stdout.splitlines()[1:]]


def test_default_profile_is_all_there() -> None:
    profile = tomllib.loads(PROFILE.read_text())
    assert {pop["fqdn"] for pop in profile["signalling"]["pops"]} == {IN2, IN4}
    assert {entry["address"] for entry in profile["media"]["addresses"]} == set(MEDIA)
    assert {entry["url"].split("/")[2] for entry in profile["echo_services"]} <= set(ECHO)
    for server in profile["stun_servers"]:
        assert STUN[server["host"]][1] == server["port"]


def test_user_has_no_privilege(healthy: Lab) -> None:
    status = healthy.run(["grep", "-E", "^(Cap|NoNewPrivs)", "/proc/self/status"]).stdout.split()
    assert set(status[1:10:2]) == {"0000000000000000"}
    assert status[-1] == "1"
    raw = "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)"
    assert "PermissionError" in healthy.run([sys.executable, "-I", "-c", raw]).stderr
    if os.stat("/proc/self/ns/user").st_ino == 0xEFFFFFFD:
        assert healthy.run(["id", "-u"]).stdout == "65534\n"


def test_no_way_out(healthy: Lab) -> None:
    """Each end of each link lies in a namespace of the lab, and none in this machine's own."""
    assert not set(os.listdir("/sys/class/net")) & {"uplink", *healthy.nodes}
    for node in healthy.nodes.values():
        for link in json.loads(node.inside(_links)):
            assert link["ifname"] == "lo" or link["link_netnsid"] >= 0
    assert "Network is unreachable" in healthy.run(["ip", "route", "get", "192.0.2.1"], node="ix").stderr


def _links() -> str:
    return subprocess.run(["ip", "-j", "link"], capture_output=True, text=True, check=True).stdout


def test_names_resolve(healthy: Lab) -> None:
    for name, address in ((IN2, IN2_ADDRESS), (IN4, IN4_ADDRESS)):
        assert healthy.run(["dig", "+short", name, "A"]).stdout == f"{address}\n"
        assert healthy.run(["getent", "ahostsv4", name]).stdout.split()[0] == address
    nodata = healthy.run(["dig", IN2, "AAAA"]).stdout
    assert "status: NOERROR" in nodata
    assert "ANSWER: 0" in nodata
    assert "status: NXDOMAIN" in healthy.run(["dig", "nowhere.exotel.com"]).stdout


@pytest.mark.parametrize("name", list(ECHO))
def test_echo_over_verified_tls(healthy: Lab, name: str) -> None:
    assert healthy.run(["curl", "-sS", f"https://{name}/"]).stdout == f"{PUBLIC}\n"


def test_echo_is_unknown_to_other_authorities(healthy: Lab) -> None:
    other = {"SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt"}
    assert healthy.run(["curl", "-sS", "https://api.ipify.org/"], env=other).returncode == 60


def test_stun_client_of_coturn(healthy: Lab) -> None:
    for address, port in STUN.values():
        done = healthy.run(["turnutils_stunclient", "-p", str(port), address])
        assert f"reflexive addr: {PUBLIC}:" in done.stdout


def test_sipp_gets_its_200(healthy: Lab) -> None:
    scenario = healthy.work / "options.xml"
    scenario.write_text(SIPP_OPTIONS)
    for address in (IN2_ADDRESS, IN4_ADDRESS):
        command = ("sipp", "-sf", str(scenario), "-t", "t1", "-m", "1", "-timeout", "5", "-nostdin", f"{address}:5070")
        done = healthy.run(command, env={"TERM": "dumb"})
        assert done.returncode == 0, done.stdout + done.stderr


def test_kamailio_names_the_public_address(healthy: Lab) -> None:
    for answer in probe(healthy, "sip", LOCAL_PORT, 2, IN2_ADDRESS, IN4_ADDRESS):
        assert answer["text"].startswith("SIP/2.0 200 ")
        assert f"received={PUBLIC}" in answer["text"]
        assert f"rport={LOCAL_PORT}" in answer["text"]


CUSTOMER_HOPS = ["192.168.10.1", "192.168.1.1", "49.36.10.1", "49.44.1.1", "103.27.170.9"]
REGION_HOPS = [
    ("182.76.143.61", ["182.79.3.2", "182.79.100.6"]),
    ("122.15.8.184", ["182.79.3.2", "182.79.100.10"]),
    ("14.194.10.247", ["182.79.5.2", "182.79.101.2"]),
    ("61.246.82.75", ["182.79.5.2", "182.79.101.6"]),
]


@pytest.mark.parametrize(("address", "beyond"), REGION_HOPS)
def test_seven_hops_answer_and_silent_media_does_not(address: str, beyond: list[str]) -> None:
    with Lab() as lab:  # each with its own allowance of ICMP errors: the kernel's limits stand
        assert hops(lab, address) == [*CUSTOMER_HOPS, *beyond, "*"]


def test_media_host_without_listener_answers_port_unreachable() -> None:
    with Lab(Scenario(media="unreachable")) as lab:
        assert hops(lab, MEDIA[0])[-1] == MEDIA[0]
        assert set(probe(lab, "udp", MEDIA[2], 10000, 40000).values()) == {errno.ECONNREFUSED}


def test_answering_media_host_answers_the_whole_range_and_silent_ones_nothing() -> None:
    with Lab(Scenario(media=((MEDIA[0], "answering"), (MEDIA[1], "stealth")))) as lab:
        script = (
            "import socket, sys\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.settimeout(2)\n"
            f"for p in 10000, 23456, 40000: s.sendto(b'x', ('{MEDIA[0]}', p)); print(*s.recvfrom(9)[1])"
        )
        out = lab.run([sys.executable, "-I", "-c", script]).stdout
        assert out.splitlines() == [f"{MEDIA[0]} {port}" for port in (10000, 23456, 40000)]
        timed_out, refused = 28, 7
        assert lab.run(["curl", "-m", "0.3", f"http://{MEDIA[1]}:443/"]).returncode == timed_out
        assert lab.run(["curl", "-m", "5", f"http://{MEDIA[2]}:443/"]).returncode == refused


@pytest.mark.parametrize(
    ("site", "nat", "same_port", "kept_port"),
    [
        ("inner_firewall", "masquerade", True, True),
        ("router", "masquerade", True, True),
        ("router", "symmetric", False, False),
        ("inner_firewall", "remap", True, False),
        ("router", "one_to_one", True, True),
        ("router", "none", True, True),
        ("direct", "none", True, True),
    ],
)
def test_nat_as_others_see_it(site: Site, nat: Nat, same_port: bool, kept_port: bool) -> None:
    with Lab(Scenario(site=site, nat=nat)) as lab:
        mapped = probe(lab, "stun", LOCAL_PORT, *SERVERS)
        answers = probe(lab, "sip", LOCAL_PORT, 2, IN2_ADDRESS, IN4_ADDRESS)
        texts = [answer["text"] for answer in answers]
        own = json.loads(lab.run(["ip", "-j", "address", "show", "eth0"]).stdout)[0]["addr_info"][0]["local"]
    assert {address for address, _ in mapped} == {PUBLIC}
    assert (own == PUBLIC) == (nat == "none")
    udp_ports = [port for _, port in mapped]
    tcp_ports = [int(text.split("rport=")[1].split("\r")[0].split(";")[0]) for text in texts]
    for ports in (udp_ports, tcp_ports):
        assert len(set(ports)) == (1 if same_port else len(ports))
        assert (LOCAL_PORT in ports) == kept_port


def test_one_to_one_nat_lets_calls_in() -> None:
    with Lab(Scenario(site="router", nat="one_to_one")) as lab:
        listener = lab.popen(
            [sys.executable, "-I", "-c", "import socket; print(socket.create_server(('', 5061)).accept()[1][0])"]
        )
        while ("tcp", 5061) not in lab.node("host").listening():
            assert listener.poll() is None
        lab.run(["curl", "-sS", "-m", "2", f"http://{PUBLIC}:5061/"], node="in2")
        assert listener.communicate(timeout=10)[0] == f"{IN2_ADDRESS}\n"


@pytest.mark.parametrize("nat", ["masquerade", "none"])
def test_edge_lets_nothing_in_unasked(nat: Nat) -> None:
    with Lab(Scenario(site="router", nat=nat)) as lab:
        assert lab.run(["curl", "-m", "0.3", f"http://{PUBLIC}:5061/"], node="in2").returncode in (7, 28)
        assert probe(lab, "stun", LOCAL_PORT, SERVERS[0]) == [[PUBLIC, LOCAL_PORT]]


@pytest.mark.parametrize(
    ("scenario", "path"),
    [
        (Scenario(site="router", cgn="100.64"), ["192.168.10.1", "100.64.0.1", "49.44.1.1"]),
        (Scenario(site="router", cgn="10"), ["192.168.10.1", "10.77.0.1", "49.44.1.1"]),
        (Scenario(site="direct", cgn="100.64"), ["100.64.0.1", "49.44.1.1"]),
        (Scenario(cgn="100.64", cgn_nat="symmetric"), ["192.168.10.1", "192.168.1.1", "100.64.0.1", "49.44.1.1"]),
    ],
)
def test_carrier_nat(scenario: Scenario, path: list[str]) -> None:
    with Lab(scenario) as lab:
        assert hops(lab, MEDIA[0])[: len(path)] == path
        mapped = probe(lab, "stun", LOCAL_PORT, *SERVERS)
        assert {address for address, _ in mapped} == {PUBLIC}
        assert len({port for _, port in mapped}) == (3 if scenario.cgn_nat == "symmetric" else 1)
        # Its own public address answers where it lives: at the carrier, past the customer's last router.
        assert hops(lab, PUBLIC)[-1] == PUBLIC
        assert len(hops(lab, PUBLIC)) == len(path) - 1


def test_public_address_lives_at_the_gateway_without_carrier_nat() -> None:
    with Lab(Scenario(site="router")) as lab:
        assert hops(lab, PUBLIC) == [PUBLIC]


def test_alg_rewrites_via() -> None:
    with Lab(Scenario(site="router", sip_alg=True)) as lab:
        (answer,) = probe(lab, "sip", 0, 2, IN2_ADDRESS)
        assert answer["text"].startswith("SIP/2.0 200 ")
        assert "received=" not in answer["text"].split("rport")[0]
        assert f"received={PUBLIC}" not in answer["text"]


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        (Kamailio(403, "Forbidden", ("X-Exotel-ErrorCode: 1234",)), "SIP/2.0 403 Forbidden"),
        (Kamailio(503, "Service Unavailable", ("Retry-After: 30",)), "SIP/2.0 503 Service Unavailable"),
        (Answerer("http"), "HTTP/1.1 400"),
        (Answerer("ssh"), "SSH-2.0-"),
        (Answerer("markup"), "SIP/2.0 403 [bold red]\x1b[31m"),
        (Answerer("close_at_request"), ""),
    ],
)
def test_signalling_answers(server: Kamailio | Answerer, expected: str) -> None:
    with Lab(Scenario(in2=server)) as lab:
        (answer,) = probe(lab, "sip", 0, 2, IN2_ADDRESS)
        assert answer["text"].startswith(expected)
        for header in getattr(server, "headers", ()):
            assert f"\r\n{header}\r\n" in answer["text"]


@pytest.mark.parametrize(
    ("server", "error"),
    [
        (Kamailio(drop=True), "TimeoutError"),
        (Answerer("mute"), "TimeoutError"),
        (Answerer("reset_at_request"), "ConnectionResetError"),
        (None, "ConnectionRefusedError"),
    ],
)
def test_signalling_fails(server: Kamailio | Answerer | None, error: str) -> None:
    with Lab(Scenario(in4=server)) as lab:
        other, answer = probe(lab, "sip", 0, 0.5, IN2_ADDRESS, IN4_ADDRESS)
        assert other["text"].startswith("SIP/2.0 200 ")
        assert answer["error"] == error
        if server == Kamailio(drop=True):
            assert probe(lab, "ping", IN4_ADDRESS)["text"] == "\r\n"
        elif server == Answerer("mute"):
            assert probe(lab, "ping", IN4_ADDRESS)["error"] == "TimeoutError"


def test_slow_signalling() -> None:
    with Lab(Scenario(in2=Kamailio(delay_ms=700))) as lab:
        (answer,) = probe(lab, "sip", 0, 5, IN2_ADDRESS)
        assert answer["seconds"] >= 0.7


def test_firewalls_do_what_they_say() -> None:
    rules = (
        Rule("host", "output", "udp dport 11000 drop"),
        Rule("edge", "forward", "udp dport 12000 drop"),
        Rule("isp1", "forward", "udp dport 13000 reject with icmp type admin-prohibited"),
        Rule("isp2", "forward", "udp dport 14000 reject with icmp type host-unreachable"),
        Rule("lanfw", "forward", f"ip daddr {IN2_ADDRESS} tcp dport 5070 reject with tcp reset"),
        Rule("isp1", "forward", f"ip daddr {IN4_ADDRESS} tcp dport 5070 reject with icmp type admin-prohibited"),
    )
    with Lab(Scenario(rules=rules, media="unreachable")) as lab:
        assert probe(lab, "udp", MEDIA[0], 11000, 12000, 13000, 14000, 15000) == {
            "11000": errno.EPERM,
            "12000": 0,
            "13000": errno.EHOSTUNREACH,
            "14000": errno.EHOSTUNREACH,
            "15000": errno.ECONNREFUSED,
        }
        reset, prohibited = probe(lab, "sip", 0, 2, IN2_ADDRESS, IN4_ADDRESS)
        assert reset["errno"] == errno.ECONNREFUSED
        assert prohibited["errno"] == errno.EHOSTUNREACH
        counters = lab.node("isp1").counters()
        assert counters["rtp"] == 3
        assert counters["sip"] == 1


def test_loss_is_about_what_it_says() -> None:
    with Lab(Scenario(rules=(loss("isp1", 20),))) as lab:
        lab.node("isp2").nft(
            "table inet count { counter arrived { }; chain c { type filter hook forward priority 0;",
            "meta l4proto udp counter name arrived; }; }",
        )
        script = (
            "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            f"for n in range(1000): s.sendto(b'x', ('{MEDIA[0]}', 10000 + n))"
        )
        lab.run([sys.executable, "-I", "-c", script])
        assert lab.node("isp1").counters()["rtp"] == 1000
        assert 650 < lab.node("isp2").counters()["arrived"] < 920


def test_routers_can_keep_silent() -> None:
    with Lab(Scenario(rules=no_time_exceeded("lanfw", "isp2"))) as lab:
        expected = list(CUSTOMER_HOPS)
        expected[0] = expected[3] = "*"
        assert hops(lab, MEDIA[0])[:5] == expected


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        (Scenario(resolver=Resolver(records=both_names())), "status: NXDOMAIN"),
        (Scenario(resolver=Resolver(broken_zones=("exotel.com",))), "status: SERVFAIL"),
        (Scenario(resolver=Resolver(records=both_names("A 10.0.0.1"))), "IN\tA\t10.0.0.1"),
        (Scenario(rules=(Rule("resolver", "input", "drop"),)), "timed out"),
        (Scenario(nameservers=()), "refused"),
        (Scenario(default_route=False), "unreachable"),
    ],
)
def test_resolver_fails(scenario: Scenario, expected: str) -> None:
    with Lab(scenario) as lab:
        done = lab.run(["dig", "+time=1", "+tries=1", IN2])
        assert expected in done.stdout + done.stderr
        assert lab.run(["getent", "ahostsv4", "localhost"]).stdout.startswith("127.0.0.1")


def test_truncated_answer_comes_by_tcp() -> None:
    links = [f"{letter * 60}.{letter * 60}.exotel.com" for letter in "abcd"]
    chain = (
        (IN2, (f"CNAME {links[0]}.",)),
        *((name, (f"CNAME {after}.",)) for name, after in itertools.pairwise(links)),
        (links[-1], (f"A {IN2_ADDRESS}",)),
    )
    with Lab(Scenario(resolver=Resolver(records=chain, udp_limit=512))) as lab:
        assert "flags: qr aa tc" in lab.run(["dig", "+ignore", IN2]).stdout
        assert lab.run(["dig", "+short", IN2]).stdout.splitlines()[-1] == IN2_ADDRESS
        assert lab.run(["getent", "ahostsv4", IN2]).stdout.split()[0] == IN2_ADDRESS


def test_second_nameserver_has_its_own_view() -> None:
    both = ("49.44.0.53", SECOND_RESOLVER)
    liar = Resolver(records=both_names("A 203.0.113.9"))
    with Lab(Scenario(nameservers=both, second_resolver=liar)) as lab:
        answers = [lab.run(["dig", "+short", f"@{server}", IN2]).stdout for server in both]
        assert answers == [f"{IN2_ADDRESS}\n", "203.0.113.9\n"]


def test_hosts_file_is_the_labs() -> None:
    with Lab(Scenario(hosts=f"127.0.0.1 localhost\n192.0.2.7 {IN2}\n")) as lab:
        assert lab.run(["getent", "ahostsv4", IN2]).stdout.split()[0] == "192.0.2.7"
    assert "192.0.2.7" not in Path("/etc/hosts").read_text()


@pytest.mark.parametrize(("mode", "text"), [("portal", "Sign in"), ("private", "10.1.2.3"), ("redirect", "Sign in")])
def test_echo_can_lie(mode: str, text: str) -> None:
    with Lab(Scenario(echo=mode)) as lab:
        assert text in lab.run(["curl", "-sS", "https://api.ipify.org/"]).stdout


def test_nothing_is_left_after_a_lab() -> None:
    with Lab() as lab:
        work, marks = lab.work, _processes_of(lab.work)
        assert len(marks) > 5
    assert not work.exists()
    assert _processes_of(work) == []


def test_failure_while_building_leaves_nothing() -> None:
    broken = replace(Scenario(), rules=(Rule("edge", "forward", "no such statement"),))
    lab = Lab(broken)
    with pytest.raises(RuntimeError, match="edge: nft"), lab:
        pass
    assert not lab.work.exists()
    misbehaved = Lab(Scenario(in2=Answerer("no such mode")))
    with pytest.raises(RuntimeError, match="no such mode"), misbehaved:
        pass
    assert _processes_of(misbehaved.work) == []


def test_killed_test_run_takes_its_lab_along(tmp_path: Path) -> None:
    script = "import sys\nfrom lab import Lab\nwith Lab() as lab: print(lab.work, flush=True); sys.stdin.read()"
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", script], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        work = Path(run.stdout.readline().strip())
        watched = [os.pidfd_open(pid) for pid in _processes_of(work)]
        assert len(watched) > 5
        run.send_signal(signal.SIGKILL)
    for descriptor in watched:
        assert select.select([descriptor], [], [], 10)[0], "a process outlived its lab"
        os.close(descriptor)


def _processes_of(work: Path) -> list[int]:
    """Processes that have the lab's directory among their arguments."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if os.fsencode(work) in command:
                found.append(int(entry.name))
    return found
