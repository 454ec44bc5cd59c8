"""`python -m bench [PART...]`, from the `tests` directory: prints tables, judges nothing.

Parts: `startup`; `all` (`vsipcheck all` against other tools); `blackhole`; `sweep`; `path`; `history`. Without one,
each of them.
Exit 0 when it ran, whatever it found; 2 for a part that there is not.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from lab.laboratory import command_under_test

from bench import blackhole, history, path, startup, sweep, tools
from bench.figures import Row, summary, table

PARTS: dict[str, tuple[str, Callable[[], list[Row]]]] = {
    "startup": (startup.TITLE, startup.measure),
    "all": (tools.TITLE, tools.measure),
    "blackhole": (blackhole.TITLE, blackhole.measure),
    "sweep": (sweep.TITLE, sweep.measure),
    "path": (path.TITLE, path.measure),
    "history": (history.TITLE, history.measure),
}


def main(arguments: list[str]) -> int:
    if any(name not in PARTS for name in arguments):
        print(f"usage: python -m bench [{'|'.join(PARTS)}]...", file=sys.stderr)
        return 2
    command = command_under_test()
    if not os.access(command, os.X_OK):
        print(f"{command} is not there: install vsipcheck beside this Python, or set VSIPCHECK_BIN", file=sys.stderr)
        return 2
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{command}; Python {sys.version.split()[0]}; {os.cpu_count()} processors, load {load}\n", flush=True)
    measured: list[Row] = []
    for name in arguments or PARTS:
        title, measure = PARTS[name]
        rows = measure()
        measured += rows
        print(table(title, rows), flush=True)
    print(summary(measured))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
