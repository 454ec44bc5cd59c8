"""Every option once: its names, its help and its default, and which of them a command accepts."""

# No `from __future__ import annotations`: typer reads the annotations, and evaluating them again costs start-up.

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from typing import Annotated, Any, Literal, get_args

import typer
from typer.models import OptionInfo

DEFAULT_PROFILE = "exotel-tcp-mumbai"  # as in vsipcheck.profiles, which is not imported for --help; a test compares


REQUIRED = {"required": True}  # an argument without which its commands mean nothing


class UsageError(Exception):
    """What was typed cannot be done; says which option, what was expected, what was found."""


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)  # what is not used is not generated: start-up
class Request:
    """What was typed. A command accepts some of these options; the others keep their defaults."""

    # What is checked, and against what.
    profile: Annotated[
        str,
        typer.Option("--profile", metavar="NAME|FILE", help="The provider's values: a bundled name or a TOML file."),
    ] = DEFAULT_PROFILE
    fqdn: Annotated[
        list[str],
        typer.Option(
            "--fqdn",
            metavar="NAME",
            show_default=False,
            help="A signalling name or address, instead of the profile's; repeatable.",
        ),
    ] = field(default_factory=list)
    port: Annotated[
        int | None, typer.Option("--port", metavar="PORT", help="The signalling port, instead of the profile's.")
    ] = None
    media: Annotated[
        list[str],
        typer.Option(
            "--media",
            metavar="ADDRESS",
            show_default=False,
            help="A media address, instead of the profile's; repeatable.",
        ),
    ] = field(default_factory=list)
    primary: Annotated[
        str | None, typer.Option("--primary", metavar="NAME", help="The signalling name that alone has to work.")
    ] = None
    account_sid: Annotated[
        str | None,
        typer.Option("--account-sid", metavar="SID", help="Your account's id, for the domain in From and To."),
    ] = None
    expect_ip: Annotated[
        str | None,
        typer.Option("--expect-ip", metavar="ADDRESS", help="The public address that was handed in for whitelisting."),
    ] = None

    # The customer's own PBX: what answers there, how it is configured, what it sends.
    pbx: Annotated[
        str | None,
        typer.Option(
            "--pbx",
            metavar="HOST[:PORT]",
            show_default=False,
            help="Check your PBX or SBC as well, as `vsipcheck pbx` does. IPv6 with a port: [ADDRESS]:PORT.",
        ),
    ] = None
    pbx_host: Annotated[
        str,
        typer.Argument(
            metavar="HOST[:PORT]",
            show_default=False,
            help="Your PBX or SBC. Without a port the one that the provider calls; IPv6 with a port: [ADDRESS]:PORT.",
        ),
    ] = field(default="", metadata=REQUIRED)
    invite: Annotated[
        str | None,
        typer.Option(
            "--invite",
            metavar="NUMBER",
            show_default=False,
            help="Call this number of the PBX just as the trunk would, and hang up: the phone behind it rings.",
        ),
    ] = None
    caller: Annotated[str, typer.Option("--caller", metavar="NUMBER", help="Who the call says is calling.")] = (
        "+910000000000"
    )
    rtp: Annotated[
        bool, typer.Option("--rtp", help="Send two seconds of audio in that call, and count what returns.")
    ] = False
    ring: Annotated[
        float,
        typer.Option(
            "--ring",
            metavar="SECONDS",
            help="How long it may ring before it is cancelled: up to 180, and less where --deadline leaves less.",
        ),
    ] = 20.0
    pbx_config: Annotated[
        list[str],
        typer.Option(
            "--pbx-config",
            metavar="FILE",
            show_default=False,
            help="Check this file of the PBX's configuration as well, as `vsipcheck config lint` does; repeatable.",
        ),
    ] = field(default_factory=list)
    config_files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            show_default=False,
            help="sip.conf, pjsip.conf, rtp.conf, extensions.conf, or FreeSWITCH's XML; - is stdin.",
        ),
    ] = field(default_factory=list, metadata=REQUIRED)
    measured_by: Annotated[
        str | None,
        typer.Option(
            "--report",
            metavar="REPORT",
            show_default=False,
            help="A stored report of `vsipcheck all` or `nat`: the public address that it measured.",
        ),
    ] = None
    sample: Annotated[
        Literal["asterisk-pjsip", "asterisk-chan-sip", "freeswitch"],
        typer.Argument(
            metavar="asterisk-pjsip|asterisk-chan-sip|freeswitch", show_default=False, help="For which PBX."
        ),
    ] = field(default="asterisk-pjsip", metadata=REQUIRED)
    public_ip: Annotated[
        str | None,
        typer.Option("--public-ip", metavar="ADDRESS", show_default=False, help="Your static public address."),
    ] = None
    trace: Annotated[
        str | None,
        typer.Option(
            "--trace",
            metavar="FILE",
            show_default=False,
            help="Check the INVITEs of a SIP trace as well, as `vsipcheck message lint` does.",
        ),
    ] = None
    message_file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            show_default=False,
            help="One SIP message, a trace as text, or a capture (pcap); - is stdin.",
        ),
    ] = field(default="", metadata=REQUIRED)
    exophone: Annotated[
        list[str],
        typer.Option(
            "--exophone",
            metavar="NUMBER",
            show_default=False,
            help="A caller ID that the provider has authorised for you; repeatable.",
        ),
    ] = field(default_factory=list)

    # How it is reached.
    ipv4: Annotated[bool, typer.Option("-4", help="Use IPv4 only.")] = False
    ipv6: Annotated[bool, typer.Option("-6", help="Use IPv6 only.")] = False
    source: Annotated[
        str | None, typer.Option("--source", metavar="ADDRESS", help="The local address to send from.")
    ] = None
    resolver: Annotated[
        list[str],
        typer.Option(
            "--resolver",
            metavar="ADDRESS[:PORT]",
            show_default=False,
            help="A nameserver to ask instead of the configured ones; repeatable. IPv6 with a port: [ADDRESS]:PORT.",
        ),
    ] = field(default_factory=list)
    timeout: Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="How long one exchange may take.")] = (
        5.0
    )
    deadline: Annotated[
        float | None,
        typer.Option(
            "--deadline",
            metavar="SECONDS",
            show_default=False,
            help="How long the run may take.  [default: 30.0, and the time of a sweep, of --lifetime and of a call on "
            "top]",
        ),
    ] = None

    # How much is sent.
    options: Annotated[int, typer.Option("--options", metavar="N", help="OPTIONS requests to each address.")] = 3
    connections: Annotated[
        int, typer.Option("--connections", metavar="N", help="TCP connections that they are spread over.")
    ] = 2
    size: Annotated[
        bool,
        typer.Option(
            "--size", help="Send OPTIONS of growing size as well: large ones that hang show an MTU black hole."
        ),
    ] = False
    ports: Annotated[int, typer.Option("--ports", metavar="N", help="Media ports sampled on each address.")] = 16
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Draws the sampled ports.")] = 0
    sweep: Annotated[bool, typer.Option("--sweep", help="Send to every media port of every address.")] = False
    rate: Annotated[int, typer.Option("--rate", metavar="N", help="Packets a second of a sweep.")] = 1000

    pcp_map: Annotated[
        bool,
        typer.Option(
            "--pcp-map",
            help="Ask the router for its address by PCP too, which takes a port mapping: one of a second, removed at "
            "once. Nothing else of this command changes anything on a router.",
        ),
    ] = False
    lifetime: Annotated[
        bool,
        typer.Option(
            "--lifetime",
            help="Measure how long the NAT keeps idle UDP bindings and TCP connections; takes as long as the longest "
            "idle time.",
        ),
    ] = False
    lifetime_max: Annotated[
        float,
        typer.Option("--lifetime-max", metavar="SECONDS", help="The longest idle time that --lifetime tries."),
    ] = 180.0

    # What the exit code makes of it.
    strict: Annotated[bool, typer.Option("--strict", help="Let warnings fail.")] = False
    allow_unknown: Annotated[
        bool, typer.Option("--allow-unknown", help="Exit 0 although something could not be determined.")
    ] = False

    # What is told, and where.
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            show_default=False,
            help="What stdout carries: terminal, json, nagios, prometheus, junit, markdown or html.  "
            "[default: terminal]",
        ),
    ] = None
    json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False
    output: Annotated[
        list[str],
        typer.Option(
            "-o",
            "--output",
            metavar="[FORMAT:]FILE",
            show_default=False,
            help="Write the report to a file as well; repeatable. Without FORMAT: .json, .html, .md, .xml (junit), "
            ".prom (prometheus), .txt (terminal); anything else what stdout carries.",
        ),
    ] = field(default_factory=list)
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="One line, and no progress.")] = False
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="All findings and all facts.")] = False

    # What is walked.
    path_target: Annotated[
        str | None,
        typer.Argument(
            metavar="[TARGET]",
            show_default=False,
            help="An address, or a name of the profile.  [default: all signalling and media addresses]",
        ),
    ] = None

    # What is served.
    listen: Annotated[
        str, typer.Option("--listen", metavar="ADDRESS:PORT", help="Where Prometheus asks. IPv6: [ADDRESS]:PORT.")
    ] = "127.0.0.1:9886"
    min_interval: Annotated[
        float,
        typer.Option("--min-interval", metavar="SECONDS", help="A run that is younger is shown again."),
    ] = 60.0
    exported_file: Annotated[
        Literal["rules", "dashboard"] | None,
        typer.Argument(
            metavar="[rules|dashboard]",
            show_default=False,
            help="Print the alert rules or the Grafana dashboard instead.",
        ),
    ] = None

    # What is kept of it, and who is told.
    record: Annotated[
        bool, typer.Option("--record", help="Keep the run in the history, and judge with those before it.")
    ] = False
    state: Annotated[
        str | None,
        typer.Option(
            "--state",
            metavar="FILE",
            show_default=False,
            help="The history.  [default: in $STATE_DIRECTORY or the user's state directory]",
        ),
    ] = None
    keep: Annotated[
        str,
        typer.Option(
            "--keep",
            metavar="TIME",
            help="How long runs are kept, as in 24h, 90d, 52w; failed ones four times so long.",
        ),
    ] = "90d"
    cron: Annotated[
        bool,
        typer.Option(
            "--cron",
            help="For cron: recorded, never two at once (exit code 75), and silent unless the state of what counts has "
            "changed.",
        ),
    ] = False
    splay: Annotated[
        float,
        typer.Option("--splay", metavar="SECONDS", help="With --cron: wait a random time of at most so long first."),
    ] = 0.0
    confirm: Annotated[
        int, typer.Option("--confirm", metavar="N", help="With --cron: a change counts when N runs in a row agree.")
    ] = 2
    on_change: Annotated[
        str | None,
        typer.Option(
            "--on-change",
            metavar="COMMAND",
            show_default=False,
            help="With --cron: run by the shell when the state has changed; the report comes on its stdin as JSON.",
        ),
    ] = None
    ping: Annotated[
        str | None,
        typer.Option(
            "--ping", metavar="URL", show_default=False, help="With --cron: fetched after every run that exits with 0."
        ),
    ] = None
    ping_fail: Annotated[
        str | None,
        typer.Option(
            "--ping-fail", metavar="URL", show_default=False, help="With --cron: fetched after every other run."
        ),
    ] = None

    # What others are given.
    ticket: Annotated[
        str | None,
        typer.Option(
            "--ticket",
            metavar="FILE.zip",
            show_default=False,
            help="Write what the provider's support asks for: the report, and the SIP messages as text and .pcap.",
        ),
    ] = None
    call_time: Annotated[
        str | None,
        typer.Option(
            "--call-time", metavar="TIME", show_default=False, help="For the ticket: as in 2026-11-25T14:05+05:30."
        ),
    ] = None
    number: Annotated[
        list[str],
        typer.Option("--number", metavar="NUMBER", show_default=False, help="For the ticket: of the call; repeatable."),
    ] = field(default_factory=list)
    redact: Annotated[
        bool,
        typer.Option(
            "--redact",
            help="In every output, replace numbers, account id, host names and private addresses by others of their "
            "kind.",
        ),
    ] = False
    redact_public: Annotated[
        bool, typer.Option("--redact-public", help="As --redact, and your public addresses too.")
    ] = False

    # What is read.
    report_file: Annotated[
        str, typer.Argument(metavar="REPORT", help="A report as JSON, or a ticket; - is stdin.", show_default=False)
    ] = field(default="", metadata=REQUIRED)
    newer_file: Annotated[
        str, typer.Argument(metavar="NEWER", help="The one to compare it with.", show_default=False)
    ] = field(default="", metadata=REQUIRED)
    rejudge: Annotated[
        bool,
        typer.Option("--rejudge", help="Judge its facts by today's rules, and tell what differs (then exit with 1)."),
    ] = False
    csv: Annotated[
        bool, typer.Option("--csv", help="Every verdict and figure of every run, a line each, instead of the summary.")
    ] = False
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="For --csv: how far back, as in 24h, 30d, 52w.")
    ] = "30d"
    simulated: Annotated[bool, typer.Option("--demo", help="The history of demo runs.")] = False

    # What is scheduled.
    scheduler: Annotated[
        Literal["cron", "systemd"],
        typer.Argument(metavar="cron|systemd", help="Who starts the runs.", show_default=False),
    ] = field(default="cron", metadata=REQUIRED)
    run_options: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- OPTIONS]", help="Options for `vsipcheck all`.", show_default=False),
    ] = None
    every: Annotated[
        int,
        typer.Option(
            "--every", metavar="MINUTES", help="How often: a divisor of 60, or whole hours that divide a day."
        ),
    ] = 5

    # What is simulated.
    scenario: Annotated[
        str,
        typer.Argument(metavar="SCENARIO", help="The situation to simulate; --list names them.", show_default=True),
    ] = "healthy"
    list_scenarios: Annotated[bool, typer.Option("--list", help="Name the scenarios and exit.")] = False


SIGNALLING = ("profile", "fqdn")
CALL = ("invite", "caller", "rtp", "ring")
REACH = ("ipv4", "ipv6", "source", "resolver")
TIME = ("timeout", "deadline")
VERDICT = ("strict", "allow_unknown")
REPORTING = ("format", "json", "output", "quiet", "verbose")
RECORDING = ("record", "state", "keep", "cron", "splay", "confirm", "on_change", "ping", "ping_fail")
TICKET = ("ticket", "call_time", "number")
REDACTION = ("redact", "redact_public")
COMMON = (*REACH, *TIME, *VERDICT, *REPORTING, *REDACTION, *RECORDING)

Action = Callable[[], int]  # what a command line asks for; gives the exit code
Command = Callable[[Request], int]


def accepts(*names: str) -> Callable[[Command], Callable[..., Action]]:
    """The command as typer reads it: the named fields of `Request` are its options, in that order.

    Called, it gives the action that was asked for, which is not yet done.
    """
    declared = {item.name: item for item in fields(Request)}

    def decorate(command: Command) -> Callable[..., Action]:
        @functools.wraps(command)
        def call(**values: Any) -> Action:
            return functools.partial(command, Request(**values))

        parameters = []
        for name in names:
            item = declared[name]
            default = item.default if item.default_factory is MISSING else item.default_factory()
            if item.metadata is not None and item.metadata.get("required"):
                default = inspect.Parameter.empty
            parameters.append(
                inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=item.type)
            )
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return call

    return decorate


def option_names() -> set[str]:
    """Every option name that some command accepts."""
    names: set[str] = set()
    for item in fields(Request):
        info = get_args(item.type)[1]
        if isinstance(info, OptionInfo):
            names.update(name for name in (info.default, *(info.param_decls or ())) if isinstance(name, str))
    return names
