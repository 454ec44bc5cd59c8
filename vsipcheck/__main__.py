"""The process: `python -m vsipcheck`, and the installed `vsipcheck`."""

from __future__ import annotations

import gc
import sys

from vsipcheck import VERSION


def main() -> int:
    """Run the command line; the exit code. Raises nothing, not even when interrupted while starting."""
    try:
        # Answered here, because the command tree takes five times as long to build as Python takes to start.
        if sys.argv[1:2] == ["--version"]:
            return _answer_version()
        # Nothing that is made while starting is garbage, and looking for some takes a tenth of the time.
        gc.disable()
        from vsipcheck.cli.app import main as run_command_line

        exit_code = run_command_line(sys.argv[1:])
        gc.freeze()  # what is still there ends with the process; looking through it again takes as long
        return exit_code
    except KeyboardInterrupt:
        return 130


def _answer_version() -> int:
    try:
        if sys.stdout is None:  # closed by the caller
            return 4
        sys.stdout.write(f"vsipcheck {VERSION}\n")
        sys.stdout.flush()
    except (OSError, ValueError):
        from vsipcheck.cli.output import abandon_stdout

        abandon_stdout()
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main())
