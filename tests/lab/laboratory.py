"""`Lab`: one scenario, built, with its peers answering, until the `with` block ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from lab import peers, topology
from lab.namespaces import Room, in_network, make_network_namespaces
from lab.scenario import Scenario

T = TypeVar("T")

NOBODY = 65534
READY_WITHIN_S = 20.0
COMMAND = "vsipcheck"
SETTINGS = {
    "ipv4/ip_forward": "1",
    "ipv6/conf/all/disable_ipv6": "1",
    "ipv6/conf/default/disable_ipv6": "1",
}


def obstacle() -> str | None:
    """Why no lab can be built here, or None."""
    missing = {program: package for program, package in peers.PROGRAMS.items() if find_program(program) is None}
    if missing:
        packages = " ".join(sorted(set(missing.values())))
        return f"{', '.join(sorted(missing))} not found: apt-get install {packages} (tests/run does it as root)"
    try:
        for descriptor in make_network_namespaces(1, SETTINGS):
            os.close(descriptor)
    except OSError as error:
        return f"no network namespaces ({error}): run as root, or inside `unshare -Ur`"
    return None


def find_program(name: str) -> str | None:
    """The program's path; the administrator's directories are searched too."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


class Node:
    """A node of a running lab."""

    def __init__(self, name: str, network: int) -> None:
        self.name = name
        self.network = network

    def nft(self, *commands: str) -> str:
        """What `nft` prints for these commands at this node."""
        return self._run("nft", "-f", "-", text="\n".join(commands) + "\n")

    def nft_json(self, *words: str) -> str:
        """What `nft -j` prints for one command at this node."""
        return self._run("nft", "-j", *words)

    def ip(self, *commands: str) -> str:
        """What `ip -batch` prints for these commands at this node."""
        return self._run("ip", "-batch", "-", text="\n".join(commands) + "\n")

    def counters(self) -> dict[str, int]:
        """Packets that each named counter of this node has seen."""
        listing = json.loads(self._run("nft", "-j", "list", "counters"))
        entries = (entry["counter"] for entry in listing["nftables"] if "counter" in entry)
        return {entry["name"]: entry["packets"] for entry in entries}

    def sysctl(self, path: str, value: str) -> None:
        """Set a value under /proc/sys/net, such as `ipv4/icmp_ratelimit`."""
        self.inside(lambda: Path("/proc/sys/net", path).write_text(value))

    def inside(self, work: Callable[[], T]) -> T:
        """What `work` returns, run in this process but in this node's network."""
        return in_network(self.network, work)

    def listening(self) -> set[tuple[str, int]]:
        """(protocol, port) of each bound UDP socket and each listening TCP socket."""
        return self.inside(_listening)

    def _run(self, *command: str, text: str = "") -> str:
        program = find_program(command[0]) or command[0]

        def work() -> subprocess.CompletedProcess[str]:
            return subprocess.run([program, *command[1:]], input=text, capture_output=True, text=True, check=False)

        done = self.inside(work)
        if done.returncode != 0:
            raise RuntimeError(f"{self.name}: {' '.join(command)}: {done.stderr.strip()}\n{text}")
        return done.stdout


def _listening() -> set[tuple[str, int]]:
    found: set[tuple[str, int]] = set()
    for protocol, wanted in (("tcp", "0A"), ("udp", "07")):
        for line in Path(f"/proc/thread-self/net/{protocol}").read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if state == wanted:
                found.add((protocol, int(local.rpartition(":")[2], 16)))
    return found


class Lab:
    """The namespaces, routes, rules and peers of one scenario. `run` is the customer's own machine."""

    def __init__(self, scenario: Scenario | None = None) -> None:
        self.scenario = scenario or Scenario()
        self.work = Path(tempfile.mkdtemp(prefix=f"vsipcheck-lab-{os.getpid()}-"))
        self.nodes: dict[str, Node] = {}
        self._rooms: dict[str, Room] = {}
        self._peers: list[tuple[peers.Peer, subprocess.Popen[str]]] = []

    def __enter__(self) -> Lab:
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def node(self, name: str) -> Node:
        """The node of that name; KeyError where this site has none."""
        return self.nodes[name]

    def close(self) -> None:
        """Every process has ended, every namespace is let go, the working directory is gone."""
        while self._rooms:
            self._rooms.popitem()[1].close()
        self._peers.clear()
        for node in self.nodes.values():
            os.close(node.network)
        self.nodes.clear()
        shutil.rmtree(self.work, ignore_errors=True)

    def _build(self) -> None:
        self.work.chmod(0o755)
        tree = topology.build_tree(self.scenario)
        networks = make_network_namespaces(len(tree), SETTINGS)
        self.nodes = {node.name: Node(node.name, network) for node, network in zip(tree, networks, strict=True)}
        self.node("host").ip(*self._link_commands(tree))
        for name, commands in topology.ip_commands(tree).items():
            self.node(name).ip(*commands)
        for tables in (topology.nft_tables(self.scenario, tree), peers.answering_rules(self.scenario)):
            for name, text in tables.items():
                self.node(name).nft(text)
        wanted = peers.prepare(self.scenario, self.work)
        (self.work / "ca.pem").chmod(0o644)
        home = self.work / "home"
        home.mkdir()
        if _maps(NOBODY):
            os.chown(home, NOBODY, NOBODY)
        # The far ends must not wait for the resolver of the customer, which may be out of order on purpose.
        self._rooms["peers"] = Room(self._mount_script("peers", (), "127.0.0.1 localhost\n"))
        self._rooms["customer"] = Room(self._mount_script("customer", self.scenario.nameservers, self.scenario.hosts))
        for peer in wanted:
            self._start(peer)
        self._await_peers()

    def _link_commands(self, tree: Iterable[topology.Node]) -> list[str]:
        """The links, made inside the nodes' namespaces: no end ever touches the namespace of the machine."""

        def at(name: str) -> str:
            return f"netns /proc/{os.getpid()}/fd/{self.nodes[name].network}"

        return [
            f"link add name {node.interface} {at(node.name)} type veth peer name {node.name} {at(node.above)}"
            for node in tree
            if node.above is not None
        ]

    def _mount_script(self, room: str, nameservers: Iterable[str], hosts: str) -> str:
        """Gives the room its own resolver configuration, an empty /run (no nscd, resolved, D-Bus), bind9's directory,
        and a way for an unprivileged user to the command under test."""
        own = self.work / room
        own.mkdir()
        own.chmod(0o755)
        files = {
            "resolv.conf": "".join(f"nameserver {address}\n" for address in nameservers),
            "hosts": hosts,
            "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
        }
        lines = [f"mount -t tmpfs -o mode=755 tmpfs {Path('/run').resolve()}"]
        for name, text in files.items():
            (own / name).write_text(text)
            (own / name).chmod(0o644)
            target = Path("/etc", name).resolve()
            if target.is_relative_to("/run"):
                lines += [f"mkdir -p {target.parent}", f"touch {target}"]
            lines.append(f"mount --bind {own / name} {target}")
        lines.append(f"mount --bind {self.work / 'bind'} {peers.BIND_ROOM}")
        lines += _uncover([Path(command_under_test()), Path(sys.executable)], own)
        return "\n".join(lines)

    def _start(self, peer: peers.Peer) -> None:
        program = find_program(peer.command[0]) or peer.command[0]
        with open(self.work / f"{peer.name}.log", "w") as log:
            process = self._rooms["peers"].start(
                self.node(peer.node).network, [program, *peer.command[1:]], stdout=log, stderr=subprocess.STDOUT
            )
        self._peers.append((peer, process))

    def _await_peers(self) -> None:
        limit = time.monotonic() + READY_WITHIN_S
        waiting = list(self._peers)
        while waiting:
            bound = {name: self.node(name).listening() for name in {peer.node for peer, _ in waiting}}
            waiting = [(peer, process) for peer, process in waiting if not bound[peer.node].issuperset(peer.ready)]
            for peer, process in waiting:
                if process.poll() is not None or time.monotonic() > limit:
                    state = f"ended with {process.returncode}" if process.returncode is not None else "is not ready"
                    raise RuntimeError(f"{peer.name} {state}:\n{self.log(peer.name)}")
            if waiting:
                time.sleep(0.01)

    def log(self, peer: str) -> str:
        """What a peer has written so far."""
        return (self.work / f"{peer}.log").read_text(errors="replace")

    def reload(self, peer: str) -> None:
        """Have a peer read its configuration again (SIGHUP)."""
        next(process for known, process in self._peers if known.name == peer).send_signal(signal.SIGHUP)

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """The whole environment of commands on the customer's machine."""
        return {
            "PATH": f"{Path(command_under_test()).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(self.work / "home"),
            "LANG": "C.UTF-8",
            "COLUMNS": "80",
            "SSL_CERT_FILE": str(self.work / "ca.pem"),
            **(extra or {}),
        }

    def popen(
        self,
        command: Sequence[str],
        *,
        node: str = "host",
        root: bool = False,
        env: Mapping[str, str] | None = None,
        stdin: int | None = subprocess.DEVNULL,
        stdout: int | None = subprocess.PIPE,
        stderr: int | None = subprocess.PIPE,
    ) -> subprocess.Popen[str]:
        """The command, running at a node: as a user without any capability unless `root`."""
        name, *rest = command
        program = command_under_test() if name == COMMAND else find_program(name) or name
        prefix = [] if root else unprivileged()
        return self._rooms["customer"].start(
            self.node(node).network,
            [*prefix, program, *rest],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=self.environment(env),
            cwd=str(self.work / "home"),
        )

    def run(
        self,
        command: Sequence[str],
        *,
        node: str = "host",
        root: bool = False,
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
        timeout_s: float = 90.0,
    ) -> subprocess.CompletedProcess[str]:
        """The finished command. Raises AssertionError, with what was printed, when it takes longer."""
        feed = subprocess.DEVNULL if stdin is None else subprocess.PIPE
        process = self.popen(command, node=node, root=root, env=env, stdin=feed)
        try:
            out, err = process.communicate(stdin, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
            out, err = process.communicate()
            raise AssertionError(f"{list(command)} still ran after {timeout_s} s:\n{out}\n{err}") from None
        except BaseException:
            process.kill()
            process.communicate()
            raise
        return subprocess.CompletedProcess(list(command), process.returncode, out, err)


def command_under_test() -> str:
    """The installed command: $VSIPCHECK_BIN, else the one beside the Python that runs the tests."""
    return os.environ.get("VSIPCHECK_BIN") or str(Path(sys.executable).with_name(COMMAND))


def unprivileged() -> list[str]:
    """The words before a command that leave it no identity, group or capability, and no way to gain one.

    In a user namespace that maps a single user there is no other to change to: that user stays, without capabilities.
    """
    identity = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if _maps(NOBODY) else []
    program = find_program("setpriv") or "setpriv"
    return [program, *identity, "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", "--"]


def _maps(uid: int) -> bool:
    for line in Path("/proc/self/uid_map").read_text().splitlines():
        first, _, count = map(int, line.split())
        if first <= uid < first + count:
            return True
    return False


def _uncover(programs: Iterable[Path], work: Path) -> list[str]:
    """Mounts that let everybody reach the programs, their virtual environment and its Python below closed directories.

    A checkout or a Python under /root is closed to others. In the lab's own mount namespace the closed directory is
    covered by an empty one, and only what the command needs is put back at its place.
    """
    needed: set[Path] = set()
    for program in programs:
        environment = program.parent.parent
        needed.add(environment)
        for path in (program, environment / "bin" / "python"):
            if path.exists():
                needed.add(path.resolve().parent.parent)
    needed.add(Path(__file__).resolve().parents[2])  # an editable installation imports from the tree
    closed: dict[Path, list[Path]] = {}
    for path in sorted(needed):
        for ancestor in reversed(path.parents):
            if not ancestor.stat().st_mode & 0o001:
                closed.setdefault(ancestor, []).append(path)
                break
    lines: list[str] = []
    for number, (ancestor, paths) in enumerate(closed.items()):
        stages = [(work / f"stage{number}-{place}", path) for place, path in enumerate(paths)]
        for stage, path in stages:
            lines += [f"mkdir {stage}", f"mount --rbind '{path}' {stage}"]
        lines.append(f"mount -t tmpfs -o mode=755 tmpfs '{ancestor}'")
        for stage, path in stages:
            lines += [f"mkdir -p '{path}'", f"mount --rbind {stage} '{path}'"]
    return lines
