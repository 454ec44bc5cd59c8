"""SIPp in the lab: what a scenario is put together from, and a SIPp that listens at a node until the `with` block ends.

SIPp ends the lines of a message with CRLF, and strips the blanks that a line begins with. A line made of a header that
the last message did not have is left out.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from lab.laboratory import Lab
from lab.pbx_peers import LISTENS_WITHIN_S

HEARS_WITHIN_S = 10.0

VIA, FROM, TO = "[last_Via:]", "[last_From:]", "[last_To:];tag=[pid]-[call_number]"
CALL_ID, CSEQ, LENGTH = "[last_Call-ID:]", "[last_CSeq:]", "Content-Length: [len]"

RECEIVED = re.compile(r"^\w+ message received \[\d+\] bytes?\s*:\s*\n\n([^\r\n]*)\r?$", re.MULTILINE)
"""How SIPp's log of messages begins one that came in."""


def send(start: str, *lines: str, body: str = "", options: str = "") -> str:
    """The sending of one message."""
    return f"<send {options}><![CDATA[\n" + "\n".join((start, *lines, "", body)) + "\n]]></send>"


def answer(start: str, *lines: str, body: str = "", options: str = "") -> str:
    """The sending of an answer made of these lines."""
    return send(f"SIP/2.0 {start}", *lines, body=body, options=options)


def usual(start: str, *more: str, body: str = "", options: str = "") -> str:
    """An answer by the book to a request outside a dialog."""
    return answer(start, VIA, FROM, TO, CALL_ID, CSEQ, *more, LENGTH, body=body, options=options)


class Sipp:
    """A SIPp that listens."""

    def __init__(self, process: subprocess.Popen[str], log: Path, messages: Path) -> None:
        self._process = process
        self._log = log
        self._messages = messages

    def alive(self) -> None:
        """Raises AssertionError, with what SIPp had to say, when it has ended."""
        assert self._process.poll() is None, self._log.read_text()

    def heard(self) -> list[str]:
        """The start lines of all messages that came in so far, in order."""
        text = self._messages.read_text(errors="replace") if self._messages.exists() else ""
        return RECEIVED.findall(text)

    def methods(self) -> list[str]:
        """The methods of the requests that came in so far, in order."""
        return [line.split()[0] for line in self.heard() if not line.startswith("SIP/")]

    def hear(self, method: str) -> None:
        """Return once a request of that method has come in. Raises AssertionError after a while without."""
        end = time.monotonic() + HEARS_WITHIN_S
        while method not in self.methods():
            self.alive()
            assert time.monotonic() < end, f"no {method} among {self.heard()}"
            time.sleep(0.02)

    def transcript(self) -> str:
        """Every message, both ways, as SIPp wrote it down."""
        return self._messages.read_text(errors="replace") if self._messages.exists() else ""


@contextmanager
def listening_sipp(
    lab: Lab,
    name: str,
    steps: str,
    *,
    node: str,
    address: str,
    port: int,
    transport: Literal["t1", "u1"] = "t1",
    options: tuple[str, ...] = (),
) -> Iterator[Sipp]:
    """SIPp at a node, taking every call through `steps`. Raises AssertionError when it has ended before the block."""
    path = lab.work / f"sipp-{name}.xml"
    path.write_text(f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="{name}">\n{steps}\n</scenario>\n')
    messages, log = path.with_suffix(".messages"), path.with_suffix(".log")
    messages.unlink(missing_ok=True)
    # -nd: nothing is sent that the steps do not say. No -bg: it would be a child of nobody. What it draws on its screen
    # is of no use to anybody.
    command = [
        *("sipp", "-sf", str(path), "-t", transport, "-i", address, "-p", str(port)),
        *("-deadcall_wait", "0", "-nostdin", "-nd", "-trace_msg", "-message_file", str(messages), *options),
    ]
    with log.open("w") as output:
        process = lab.popen(command, node=node, root=True, stdout=subprocess.DEVNULL, stderr=output.fileno())
    running = Sipp(process, log, messages)
    try:
        end = time.monotonic() + LISTENS_WITHIN_S
        while ("tcp" if transport == "t1" else "udp", port) not in lab.node(node).listening():
            running.alive()
            assert time.monotonic() < end, "SIPp does not listen"
            time.sleep(0.02)
        yield running
        running.alive()
    finally:
        process.kill()
        process.wait()
