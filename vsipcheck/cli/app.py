"""The commands, and how their ends become exit codes."""

# No `from __future__ import annotations`: typer reads the annotations as they are.

import sys
from copy import copy
from functools import partial
from typing import Annotated, Literal

import typer
from typer.exceptions import Abort, Exit, TyperException
from typer.main import get_command

from vsipcheck import VERSION
from vsipcheck.cli.options import (
    CALL,
    COMMON,
    DEFAULT_PROFILE,
    REACH,
    RECORDING,
    REDACTION,
    REPORTING,
    SIGNALLING,
    TICKET,
    TIME,
    VERDICT,
    Action,
    Request,
    UsageError,
    accepts,
    option_names,
)

app = typer.Typer(
    name="vsipcheck",
    help="Pre-flight checks for a SIP trunk: what is wrong, whose fault it is, and what proves it.",
    epilog="Exit codes: 0 nothing failed and all that counts is proven; 1 something failed; 2 usage; 3 nothing failed, "
    "but something that counts could not be determined; 4 our own error, or an output that could not be written; "
    "130 interrupted.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
profile_app = typer.Typer(help="Look at the provider's values.", rich_markup_mode=None)
config_app = typer.Typer(help="Check the PBX's configuration, or print one to start from.", rich_markup_mode=None)
message_app = typer.Typer(help="Check SIP messages against the provider's tables.", rich_markup_mode=None)
for _name, _group in (("config", config_app), ("message", message_app), ("profile", profile_app)):
    app.add_typer(_group, name=_name)


def _tell_version(value: bool) -> None:
    if value:
        typer.echo(f"vsipcheck {VERSION}")
        raise Exit()


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_tell_version)
    ] = False,
) -> None:
    pass


@app.command(name="all")
@accepts(
    *SIGNALLING,
    *("port", "media", "primary", "account_sid", "expect_ip"),
    *("options", "connections", "ports", "seed", "sweep", "rate"),
    *("pbx", *CALL, "pbx_config", "trace", "exophone"),
    *COMMON,
    *TICKET,
)
def check_all(request: Request) -> int:
    """Run every check, and answer the provider's checklist."""
    from vsipcheck.cli.run import run_checks

    return run_checks(request)


@app.command()
@accepts(*SIGNALLING, *COMMON)
def dns(request: Request) -> int:
    """Resolve the signalling names, by every nameserver."""
    from vsipcheck.cli.run import run_checks

    return run_checks(request, "dns")


@app.command()
@accepts(*SIGNALLING, "port", "primary", "account_sid", "options", "connections", "size", *COMMON, *TICKET)
def sip(request: Request) -> int:
    """Send OPTIONS to every address of every name."""
    from vsipcheck.cli.run import run_checks

    return run_checks(request, "sip")


@app.command()
@accepts("profile", "media", "ports", "seed", "sweep", "rate", *COMMON)
def media(request: Request) -> int:
    """Send RTP to the media addresses, and see how far it gets."""
    from vsipcheck.cli.run import run_checks

    return run_checks(request, "media")


@app.command()
@accepts(*SIGNALLING, "port", "media", "expect_ip", "pcp_map", "lifetime", "lifetime_max", *COMMON)
def nat(request: Request) -> int:
    """Find the trunk's public address, and what NATs do to it."""
    from vsipcheck.cli.run import run_checks

    return run_checks(request, "nat")


@app.command()
@accepts("path_target", *SIGNALLING, "port", "media", *COMMON)
def path(request: Request) -> int:
    """Walk the way to each address, and show where probes stop."""
    from vsipcheck.cli.run import run_checks

    return run_checks(request, "path")


@app.command()
@accepts("pbx_host", *CALL, "profile", "measured_by", "expect_ip", *COMMON, *TICKET)
def pbx(request: Request) -> int:
    """Ask your own PBX what the trunk would ask of it; with --invite, call it. Sends to that host alone."""
    from vsipcheck.cli.run import run_checks

    return run_checks(request, "pbx")


@config_app.command(name="lint")
@accepts("config_files", "profile", "account_sid", "measured_by", "expect_ip", *VERDICT, *REPORTING, *REDACTION)
def config_lint(request: Request) -> int:
    """Check configuration files of Asterisk or FreeSWITCH against the provider's guide. Sends nothing."""
    from vsipcheck.cli.run import run_checks

    return run_checks(request, "config")


@config_app.command(name="sample")
@accepts("sample", "profile", "account_sid", "public_ip", "measured_by")
def config_sample(request: Request) -> int:
    """Print a configuration of the trunk that `config lint` passes."""
    from vsipcheck.cli.sample import print_sample

    return print_sample(request)


@message_app.command(name="lint")
@accepts(
    "message_file", "exophone", "profile", "account_sid", "measured_by", "expect_ip", *VERDICT, *REPORTING, *REDACTION
)
def message_lint(request: Request) -> int:
    """Check an INVITE, or those of a whole trace, against the provider's tables of header fields. Sends nothing."""
    from vsipcheck.cli.run import run_checks

    return run_checks(request, "message")


@app.command()
@accepts(
    *("exported_file", "listen", "min_interval"),
    *SIGNALLING,
    *("port", "media", "primary", "account_sid", "expect_ip", "options", "connections", "ports", "seed"),
    *REACH,
    *TIME,
    *VERDICT,
)
def exporter(request: Request) -> int:
    """Serve metrics to Prometheus; a run is made when they are asked for, and not too often."""
    from vsipcheck.cli.exporter import print_file, run_exporter

    return run_exporter(request) if request.exported_file is None else print_file(request.exported_file)


@app.command()
@accepts(
    *("scenario", "list_scenarios", "account_sid"),
    *TIME,
    *VERDICT,
    *REPORTING,
    *REDACTION,
    *RECORDING,
    *TICKET,
)
def demo(request: Request) -> int:
    """Run `all` against a simulated provider on loopback."""
    from vsipcheck.cli.demo import list_scenarios, run_demo

    return list_scenarios() if request.list_scenarios else run_demo(request)


@app.command()
@accepts("report_file", "rejudge", *REPORTING, *REDACTION, "account_sid", *TICKET)
def show(request: Request) -> int:
    """Render a stored report in any format."""
    from vsipcheck.cli.show import show_report

    return show_report(request)


@app.command()
@accepts("report_file", "newer_file", "json")
def diff(request: Request) -> int:
    """Say what changed from one stored report to another; exit with 1 if anything did."""
    from vsipcheck.cli.diff import show_difference

    return show_difference(request)


@app.command()
@accepts("state", "simulated", "json", "csv", "since")
def history(request: Request) -> int:
    """Show what recorded runs saw over time: uptime, trends, flapping, when the public address changed."""
    from vsipcheck.cli.history import show_history

    return show_history(request)


@app.command()
@accepts("scheduler", "run_options", "every", "splay")
def timer(request: Request) -> int:
    """Print a crontab line, or a systemd service and timer, that run `all --cron`; installs nothing."""
    from vsipcheck.cli.timer import print_timer

    return print_timer(request, parse)


@profile_app.command(name="list")
def profile_list() -> Action:
    """Name the bundled profiles."""
    from vsipcheck.cli.profile import list_profiles

    return list_profiles


_AnyProfile = Annotated[str, typer.Argument(metavar="NAME|FILE", help="A bundled profile or a TOML file.")]


@profile_app.command(name="show")
def profile_show(profile: _AnyProfile = DEFAULT_PROFILE) -> Action:
    """Print a profile as TOML, to read or to start one of your own from."""
    from vsipcheck.cli.profile import show_profile

    return partial(show_profile, profile)


@profile_app.command(name="check")
def profile_check(profile: _AnyProfile = DEFAULT_PROFILE) -> Action:
    """Say whether a profile can be used, and if not, what is wrong where."""
    from vsipcheck.cli.profile import check_profile

    return partial(check_profile, profile)


@app.command()
def explain(
    finding_id: Annotated[
        str | None, typer.Argument(metavar="FINDING-ID", help="As in a report: sip.options. Without: name them all.")
    ] = None,
    reason: Annotated[str | None, typer.Argument(metavar="REASON", help="One of its reasons alone.")] = None,
) -> Action:
    """Say what a finding checks, how its verdict is reached, and what its reasons mean."""
    from vsipcheck.cli.explain import explain as explain_finding
    from vsipcheck.cli.explain import list_explanations

    return list_explanations if finding_id is None else partial(explain_finding, finding_id, reason)


@app.command()
def schema() -> Action:
    """Print the JSON Schema of the report."""
    from vsipcheck.cli.schema import print_schema

    return print_schema


@app.command()
def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(metavar="bash|zsh|fish", help="The shell.")],
) -> Action:
    """Print the completion script of a shell."""
    from vsipcheck.cli.completion import print_script

    return partial(print_script, shell, get_command(app))


def main(arguments: list[str]) -> int:
    """Run one command; the exit code. Whatever goes wrong ends as one line on stderr, never as a traceback."""
    from vsipcheck.cli.errors import tell_internal_error
    from vsipcheck.cli.output import OutputError, abandon_stdout, complain

    try:
        try:
            action = parse(arguments)
        except OSError as error:  # of --help: nothing else is done while parsing
            abandon_stdout()
            raise OutputError("stdout", error.strerror or str(error)) from None
        return action()
    except UsageError as error:
        complain(str(error))
        return _end(arguments, str(error), 2)
    except OutputError as error:
        complain(str(error))
        return _end(arguments, str(error), 4)
    except (KeyboardInterrupt, Abort):
        complain("interrupted")
        return _end(arguments, "interrupted", 130)
    except Exception as error:
        tell_internal_error(error)
        return _end(arguments, f"internal error: {type(error).__name__}", 4)


def _end(arguments: list[str], said: str, code: int) -> int:
    """The exit code of a command that made no report. Nagios reads stdout, and knows 3 for what was not checked."""
    from itertools import pairwise

    if "--format=nagios" not in arguments and ("--format", "nagios") not in pairwise(arguments):
        return code
    from vsipcheck.cli.output import OutputError, write_stdout
    from vsipcheck.render.nagios import State, safe

    try:
        write_stdout(f"VSIPCHECK UNKNOWN - {safe(said)}\n", machine=True)
    except OutputError:
        pass
    return State.UNKNOWN


def parse(arguments: list[str]) -> Action:
    """What was asked for, to be done once typer is out of the way: it has its own ideas about exceptions and exits."""
    command = get_command(_app_for(arguments))
    if not arguments:
        return partial(_tell_help, command.get_help(command.make_context("vsipcheck", [], resilient_parsing=True)))
    try:
        with command.make_context("vsipcheck", list(arguments)) as context:
            action: Action = command.invoke(context)
    except Exit as told:  # --help or --version
        if sys.stdout is None:
            from vsipcheck.cli.output import OutputError

            raise OutputError("stdout", "it is closed") from None
        code = told.exit_code
        return lambda: code
    except TyperException as error:
        raise UsageError(_explained(error)) from None
    return action


def _app_for(arguments: list[str]) -> typer.Typer:
    """With only the command or group that is asked for, if it is known: building them all takes a third of Python's
    start."""
    alone = copy(app)
    alone.registered_commands = [
        info
        for info in app.registered_commands
        if [info.name or getattr(info.callback, "__name__", None)] == arguments[:1]
    ]
    alone.registered_groups = [info for info in app.registered_groups if [info.name] == arguments[:1]]
    return alone if alone.registered_commands or alone.registered_groups else app


def _tell_help(text: str) -> int:
    """No command is a mistake: a script whose variable came out empty must not read it as `all is well`."""
    if sys.stderr is not None:
        typer.echo(text, err=True)
    return 2


def _explained(error: TyperException) -> str:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "vsipcheck"
    option = getattr(error, "option_name", None)
    if command == "vsipcheck demo" and option in option_names():
        return f"demo: {option} is not taken, because the simulation has its own target"
    said = error.format_message().rstrip(".")
    where = command.removeprefix("vsipcheck").strip()
    return f"{where + ': ' if where else ''}{said[:1].lower()}{said[1:]} (see {command} --help)"
