"""Imports run one way through the house, and only the rooms that may do so talk to the outside.

The syntax trees are walked, so that an import inside a function, or one for types alone, counts like any other.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "vsipcheck"

EVERYTHING = {
    "model",
    "wire",
    "profiles",
    "explanations",
    "net",
    "checks",
    "checklist",
    "whitelisting",
    "history",
    "runner",
    "render",
    "reading",
    "comparison",
    "redaction",
    "ticket",
    "samples",
    "sim",
    "cli",
}
MAY_IMPORT: dict[str, set[str]] = {
    "model": set(),
    "wire": set(),
    "profiles": {"model"},
    "explanations": {"model"},
    "net": {"model", "wire"},
    "checks": {"model", "profiles", "wire", "net"},
    "checklist": {"model", "profiles"},
    "whitelisting": {"model"},
    "history": {"model", "profiles"},
    "runner": {"model", "wire", "profiles", "net", "checks", "checklist", "whitelisting", "history"},
    "render": {"model"},
    "reading": {"model"},
    "comparison": {"model"},
    "redaction": {"model", "wire"},
    "ticket": {"model", "wire", "render"},
    "samples": {"model"},
    "sim": {"model", "wire", "profiles", "net"},  # never checks: it must not share their mistakes
    "cli": EVERYTHING,
    "__main__": {"cli"},
    "__init__": set(),
}

# Libraries, and modules of the standard library, that only some rooms may know. The simulated edge is a `Network` of
# its own: it has to listen and to connect, on loopback, where its tests prove that it stays.
ONLY_IN: dict[str, set[str]] = {
    "typer": {"cli"},
    "rich": {"cli", "render"},
    "httpx": {"net"},
    "prometheus_client": {"render", "cli"},
    "netifaces": {"net"},
    "socket": {"net", "sim"},
    "select": {"net"},
    "selectors": {"net"},
    "ssl": {"net", "wire"},  # in `wire` without a socket: it writes a ClientHello into memory
    "http": {"net"},
    "urllib.request": set(),
    # dnspython is a codec here, and in `net` the reader of the system's configuration. The other parts open sockets of
    # their own, unseen by the traffic counters.
    "dns.resolver": {"net"},
    "dns.query": set(),
    "dns.asyncquery": set(),
    "dns.asyncresolver": set(),
    "dns.asyncbackend": set(),
    "dns.nameserver": set(),
    "socketserver": set(),
    "subprocess": {"cli"},  # --on-change
    "sqlite3": {"history"},
    "requests": set(),
    "click": set(),
}

# asyncio's ways to a socket.
OPENERS = {
    "open_connection",
    "create_connection",
    "create_datagram_endpoint",
    "start_server",
    "create_server",
    "sock_connect",
    "getaddrinfo",
}
MAY_OPEN = {"net", "sim"}

Place = tuple[int, str]  # line, what is wrong there


def imported(tree: ast.AST, module: str) -> Iterator[tuple[int, str]]:
    """Every module that is named by an import anywhere in `tree`, with its line; `from a import b` names a and a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = module.split(".")[: -node.level]
                base = ".".join([*above, *([base] if base else [])])
            yield node.lineno, base
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in ("import_module", "__import__"):
                yield node.lineno, str(node.args[0].value)


def opened(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in OPENERS:
            holder = node.value
            name = holder.attr if isinstance(holder, ast.Attribute) else getattr(holder, "id", "")
            if name in ("asyncio", "loop") or isinstance(holder, ast.Call):
                yield node.lineno, node.attr


def faults(source: str, module: str) -> list[Place]:
    """What the imports of `module` break."""
    tree = ast.parse(source)
    room = module.split(".")[1]
    found: list[Place] = []
    for line, name in imported(tree, module):
        parts = name.split(".")
        if parts[0] == "vsipcheck":
            other = parts[1] if len(parts) > 1 else None
            if other in EVERYTHING and other != room and other not in MAY_IMPORT[room]:
                found.append((line, f"{room} may not import {other}"))
            continue
        for known in (parts[0], ".".join(parts[:2])):
            if room not in ONLY_IN.get(known, {room}):
                found.append((line, f"{room} may not import {known}"))
        if parts[0] == "asyncio" and parts[-1] in OPENERS and room not in MAY_OPEN:
            found.append((line, f"{room} may not open sockets: {parts[-1]}"))
        if room == "wire" and parts[0] not in sys.stdlib_module_names:
            found.append((line, f"wire may not import {parts[0]}"))
        if room == "wire" and parts[0] in ("asyncio", "threading"):
            found.append((line, f"wire does no I/O: {parts[0]}"))
    if room not in MAY_OPEN:
        found += [(line, f"{room} may not open sockets: {name}") for line, name in opened(tree)]
    return sorted(set(found))


def modules() -> list[tuple[str, Path]]:
    paths = sorted(PACKAGE.rglob("*.py"))
    return [(".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts), path) for path in paths]


@pytest.mark.parametrize(("module", "path"), modules(), ids=[module for module, _ in modules()])
def test_imports_run_one_way(module: str, path: Path) -> None:
    assert module.split(".")[1] in MAY_IMPORT, "a room that the table does not know"
    assert faults(path.read_text(encoding="utf-8"), module) == []


@pytest.mark.parametrize(
    ("module", "source", "fault"),
    [
        ("vsipcheck.model.words", "import vsipcheck.wire.sip", "model may not import wire"),
        ("vsipcheck.model.words", "from vsipcheck import wire", "model may not import wire"),
        ("vsipcheck.sim.edge", "def f():\n    from vsipcheck.checks import sip", "sim may not import checks"),
        ("vsipcheck.render.json", "from ..checks.base import Facts", "render may not import checks"),
        ("vsipcheck.render.json", "from .. import checks", "render may not import checks"),
        ("vsipcheck.runner", "from vsipcheck.cli.app import app", "runner may not import cli"),
        ("vsipcheck.runner", "import importlib; importlib.import_module('vsipcheck.sim')", "runner may not import sim"),
        ("vsipcheck.checks.dns", "import socket", "checks may not import socket"),
        ("vsipcheck.checks.dns", "if TYPE_CHECKING:\n    import socket", "checks may not import socket"),
        ("vsipcheck.checks.dns", "import dns.resolver", "checks may not import dns.resolver"),
        ("vsipcheck.checks.dns", "from dns import query", "checks may not import dns.query"),
        ("vsipcheck.checks.sip", "async def f():\n    await asyncio.open_connection()", "checks may not open sockets"),
        ("vsipcheck.checks.sip", "asyncio.get_running_loop().getaddrinfo()", "checks may not open sockets"),
        ("vsipcheck.runner", "from asyncio import start_server", "runner may not open sockets"),
        ("vsipcheck.profiles.loader", "import typer", "profiles may not import typer"),
        ("vsipcheck.wire.sip", "import msgspec", "wire may not import msgspec"),
        ("vsipcheck.wire.sip", "import asyncio", "wire does no I/O: asyncio"),
    ],
)
def test_the_walk_sees(module: str, source: str, fault: str) -> None:
    assert any(told.startswith(fault) for _, told in faults(source, module))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("vsipcheck.checks.dns", "import dns.message\nfrom vsipcheck.net import Network"),
        ("vsipcheck.runner", "from vsipcheck import VERSION"),
        ("vsipcheck.wire.sip", "from vsipcheck.wire.errors import WireError\nimport re"),
        ("vsipcheck.net.http", "import httpx, socket, ssl"),
    ],
)
def test_the_walk_lets_pass(module: str, source: str) -> None:
    assert faults(source, module) == []


def test_the_table_is_free_of_circles() -> None:
    done: set[str] = set()
    rooms = {room: allowed - {room} for room, allowed in MAY_IMPORT.items()}
    while rooms:
        ready = {room for room, allowed in rooms.items() if allowed <= done}
        assert ready, f"a circle among {sorted(rooms)}"
        done |= ready
        rooms = {room: allowed for room, allowed in rooms.items() if room not in ready}
