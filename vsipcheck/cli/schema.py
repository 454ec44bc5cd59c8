"""The report's JSON Schema, on stdout."""

from __future__ import annotations

import json

from vsipcheck.cli.output import write_stdout
from vsipcheck.render.schema import report_schema


def print_schema() -> int:
    write_stdout(json.dumps(report_schema(), indent=2) + "\n", machine=True)
    return 0
