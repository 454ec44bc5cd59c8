"""A report as text: one file a format. Imports only the model, and each format only when it is asked for."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from vsipcheck.model import Report


class RenderOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a person's terminal looks, and how much they want to read. Formats for machines ignore it."""

    width: int = 80  # columns
    color: bool = False  # ANSI colours; they are never the only signal
    verbose: bool = False  # every finding and every fact
    quiet: bool = False  # one line
    unicode: bool = True  # False: nothing but ASCII


def _terminal(report: Report, options: RenderOptions) -> str:
    from vsipcheck.render.terminal import render_terminal

    return render_terminal(report, options)


def _json(report: Report, options: RenderOptions) -> str:
    from vsipcheck.render.json import render_json

    return render_json(report)


def _nagios(report: Report, options: RenderOptions) -> str:
    from vsipcheck.render.nagios import render_nagios

    return render_nagios(report)


def _prometheus(report: Report, options: RenderOptions) -> str:
    from vsipcheck.render.prometheus import render_prometheus

    return render_prometheus(report)


def _junit(report: Report, options: RenderOptions) -> str:
    from vsipcheck.render.junit import render_junit

    return render_junit(report)


def _markdown(report: Report, options: RenderOptions) -> str:
    from vsipcheck.render.markdown import render_markdown

    return render_markdown(report)


def _html(report: Report, options: RenderOptions) -> str:
    from vsipcheck.render.html import render_html

    return render_html(report)


FORMATS: dict[str, Callable[[Report, RenderOptions], str]] = {
    "terminal": _terminal,
    "json": _json,
    "nagios": _nagios,
    "prometheus": _prometheus,
    "junit": _junit,
    "markdown": _markdown,
    "html": _html,
}


def render(report: Report, format: str, options: RenderOptions | None = None) -> str:
    """The report in one of FORMATS, ending in a newline. Raises ValueError for another format."""
    if format not in FORMATS:
        raise ValueError(f"no format {format!r}: expected one of {', '.join(FORMATS)}")
    return FORMATS[format](report, options or RenderOptions())
