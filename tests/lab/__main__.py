"""A lab to walk around in: `python -m lab [FIELD=VALUE...] [-- COMMAND...]`, from the `tests` directory, as root.

FIELD=VALUE are those fields of `Scenario` that are words or yes/no. Without a command it is a shell, as the customer.
"""

from __future__ import annotations

import os
import sys
from dataclasses import fields
from typing import Any

from lab.laboratory import Lab, obstacle
from lab.scenario import Scenario


def read_scenario(words: list[str]) -> Scenario:
    """The scenario that the words describe. Raises SystemExit on a field that is no such word."""
    plain = {field.name: field.default for field in fields(Scenario) if isinstance(field.default, str | bool | None)}
    chosen: dict[str, Any] = {}
    for word in words:
        name, _, value = word.partition("=")
        if name not in plain:
            raise SystemExit(f"{word}: not one of {', '.join(sorted(plain))}")
        chosen[name] = value in ("yes", "true", "1") if isinstance(plain[name], bool) else value
    return Scenario(**chosen)


def main(arguments: list[str]) -> int:
    split = arguments.index("--") if "--" in arguments else len(arguments)
    scenario = read_scenario(arguments[:split])
    command = arguments[split + 1 :] or ["bash", "--norc"]
    reason = obstacle()
    if reason is not None:
        raise SystemExit(reason)
    with Lab(scenario) as lab:
        print(f"nodes: {' '.join(lab.nodes)}; logs: {lab.work}/*.log", file=sys.stderr)
        for node in lab.nodes.values():
            print(f"  {node.name}: nsenter --net=/proc/{os.getpid()}/fd/{node.network}", file=sys.stderr)
        process = lab.popen(command, stdin=None, stdout=None, stderr=None, env={"TERM": "xterm"})
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                pass  # the command's own business: it is in the foreground


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
