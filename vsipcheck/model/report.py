"""The report, `vsipcheck.report/1`: fields may be added, never renamed."""

from __future__ import annotations

from typing import Literal

import msgspec

from vsipcheck.model.facts import AnyFact
from vsipcheck.model.profile import Profile
from vsipcheck.model.words import Confidence, Failure, Family, FaultDomain, Overall, Stage, Status

REPORT_SCHEMA = "vsipcheck.report/1"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for, in effect. Times are seconds."""

    checks: tuple[str, ...]
    timeout_s: float = 5.0  # one exchange
    deadline_s: float = 30.0  # the run
    family: Family = Family.ANY
    source: str | None = None  # local address to bind
    resolvers: tuple[str, ...] = ()  # asked instead of the configured nameservers
    expect_ip: str | None = None
    primary: str | None = None  # the FQDN that alone gates signalling
    account_sid: str | None = None
    options_count: int = 3
    options_connections: int = 2
    size: bool = False  # OPTIONS of growing size as well
    ports_per_address: int = 16
    seed: int = 0
    sweep: bool = False
    rate: int = 1000  # packets a second of a sweep
    pcp_map: bool = False  # have a PCP router name its address, by a mapping that is removed at once
    path_target: str | None = None  # the address or name whose way alone is walked
    lifetime: bool = False  # measure how long idle bindings and connections live
    lifetime_max_s: float = 180.0  # the longest idle time that is tried
    pbx: str | None = None  # the customer's own PBX or SBC: "host:port", IPv6 in brackets
    invite: str | None = None  # the number that a test call to the PBX asks for
    caller: str = "+910000000000"  # the number that it comes from: no Indian number starts with 0
    rtp: bool = False  # send RTP in the test call, and count what returns
    ring_s: float = 20.0  # how long the test call may ring
    pbx_config: tuple[str, ...] = ()  # files of the PBX's configuration
    public_address: str | None = None  # as an earlier report measured it
    message: str | None = None  # file of a SIP message or a trace; "-" is stdin
    exophones: tuple[str, ...] = ()  # caller IDs that the account may use
    strict: bool = False
    allow_unknown: bool = False


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """Names one finding."""

    id: str
    target: str | None


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """A figure of a finding. `warn` and `fail` are our thresholds where there are any: crossed by what is more, with
    `floor` by what is less."""

    name: str
    value: float | int | None
    unit: str  # "ms", "ratio", "count", "s", ...
    warn: float | None = None
    fail: float | None = None
    floor: bool = False


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One verdict and what it rests on. Its key is (id, target)."""

    id: str
    target: str | None
    status: Status
    reason: str  # a stable code: scripts match it
    summary: str  # what was seen, for a person
    failure: Failure | None = None
    fault_domain: FaultDomain | None = None  # null on pass and skip
    confidence: Confidence | None = None
    remedy: str | None = None  # what the party at fault has to do
    settle_by: str | None = None  # what would settle an `unknown`, or a fault domain that is not certain
    guide_section: str | None = None
    measures: tuple[Measure, ...] = ()
    facts: tuple[str, ...] = ()  # fact ids
    location: str | None = None  # "FILE:LINE" of what was read
    patch: str | None = None  # a unified diff that mends it
    offset_ms: float | None = None
    duration_ms: float | None = None


class ChecklistRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the guide's checklist."""

    id: str
    stage: Stage
    title: str
    status: Status
    gating: bool
    summary: str
    fault_domain: FaultDomain | None = None
    findings: tuple[Key, ...] = ()


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """What one party has to do, at best as a sentence that can be sent on as it stands."""

    party: FaultDomain
    what: str
    because: tuple[Key, ...]


class SupportRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A letter to one party that can be sent on as it is: lines of plain text. `before_sending` is for the sender."""

    party: FaultDomain
    subject: str
    text: str
    before_sending: str | None = None
    because: tuple[Key, ...] = ()


class CheckEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of one check, in the order in which they happened. `error` is our own: a traceback, or "deadline"."""

    version: int
    offset_ms: float
    duration_ms: float
    error: str | None
    facts: tuple[AnyFact, ...]


class PathHop(msgspec.Struct, frozen=True, kw_only=True):
    """One router of a way, the best that all probes saw, and whose it is. `address` is None where none answered.

    `marks`: what each series drew there: "answered", "target" (the target's own answer), "silent" (no data), "missed"
    (beside answered controls).
    """

    ttl: int
    address: str | None
    zone: FaultDomain
    why: str  # the fact that says whose it is
    rtt_ms: float | None = None
    loss_ratio: float | None = None  # unanswered of those sent; routers ration their answers
    marks: dict[str, str] = {}


class PathSeries(msgspec.Struct, frozen=True, kw_only=True):
    """How far one kind of probes got."""

    id: str  # "udp_in_range", "udp_control", "tcp_5070"
    outcome: str  # "connected", "refused", "silent", "answered", "icmp", "not_tried"
    reached_ttl: int | None = None  # the farthest hop that answered for it
    stopped_ttl: int | None = None  # the nearest hop that it was shown not to reach


class Path(msgspec.Struct, frozen=True, kw_only=True):
    """The way to one address, as probes of all checks saw it."""

    target: str
    name: str | None
    hops: tuple[PathHop, ...]
    series: tuple[PathSeries, ...]


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    version: str


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """The machine that the run was made on. `icmp_errors`: the platform shows ICMP errors without root."""

    os: str
    python: str
    icmp_errors: bool


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    address: str
    protocol: str
    port: int | None  # null where several ports were used
    packets: int
    bytes: int


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """What the run sent: payload bytes; for TCP, SYNs and segments as far as we can count them."""

    packets_sent: int
    bytes_sent: int
    by_destination: tuple[Destination, ...]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    schema: Literal["vsipcheck.report/1"]
    run_id: str
    tool: Tool
    host: Host
    profile: Profile
    settings: Settings
    started_at: str  # UTC, ISO 8601 with Z
    duration_ms: float
    interrupted: bool
    simulated: bool
    redacted: bool
    overall: Overall | None
    exit_code: int
    actions: tuple[Action, ...]
    findings: tuple[Finding, ...]
    checklist: tuple[ChecklistRow, ...]
    evidence: dict[str, CheckEvidence]
    traffic: Traffic
    paths: tuple[Path, ...] = ()
    requests: tuple[SupportRequest, ...] = ()
