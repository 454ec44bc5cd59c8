"""The PBX's configuration, file by file, against the provider's guide. Sends nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from vsipcheck.checks.base import Check, Context, Facts, Recorder
from vsipcheck.checks.config import chan_sip, freeswitch, pjsip
from vsipcheck.checks.config.account import judge_caller_id, judge_domain, judge_registration
from vsipcheck.checks.config.driver import judge_driver
from vsipcheck.checks.config.faults import judge_file, judge_unread
from vsipcheck.checks.config.files import Configuration, Dialect, Handed, configuration_of, read_files
from vsipcheck.checks.config.identification import judge_identification
from vsipcheck.checks.config.inbound import judge_context, judge_listener
from vsipcheck.checks.config.logging import judge_logging
from vsipcheck.checks.config.media import judge_codec_order, judge_dtmf, judge_media_path, judge_rtp_range
from vsipcheck.checks.config.nat import judge_external, judge_nat
from vsipcheck.checks.config.outbound import judge_call_rate, judge_peer
from vsipcheck.checks.config.patch import unified_diff
from vsipcheck.checks.config.trunk import Destination, Trunk, relay_of
from vsipcheck.checks.config.verdict import GUIDE_SECTIONS, Verdict, World, with_refusals
from vsipcheck.checks.public_address import trunk_address, trunk_sources
from vsipcheck.model import Confidence, FaultDomain, Finding, Lookup, Profile, Settings, Status
from vsipcheck.wire.asterisk import Place
from vsipcheck.wire.text import sanitise

FILES = "config.files"
DRIVER = "config.channel_driver"
PEER = "config.peer"
CONTEXT = "config.context"
CALL_RATE = "config.call_rate"
LOGGING = "config.logging"
_RULES: tuple[tuple[str, Callable[[Trunk, World], Verdict]], ...] = (
    (PEER, judge_peer),
    ("config.listener", judge_listener),
    ("config.registration", judge_registration),
    ("config.identification", judge_identification),
    ("config.domain", judge_domain),
    ("config.caller_id", judge_caller_id),
    ("config.codec_order", judge_codec_order),
    ("config.dtmf", judge_dtmf),
    ("config.nat", judge_nat),
    ("config.external_address", judge_external),
    ("config.media_path", judge_media_path),
    ("config.rtp_range", judge_rtp_range),
    (CONTEXT, judge_context),
    (CALL_RATE, judge_call_rate),
    (LOGGING, judge_logging),
)
_IDS = (FILES, DRIVER, *(name for name, _ in _RULES))
# What no proxy between the PBX and the provider changes.
_OF_THE_PBX = (CONTEXT, CALL_RATE, LOGGING)
# What the guide's checklist asks of a configuration: told also where there is no trunk to look at.
_ROWS = ("config.codec_order", "config.registration", "config.nat", LOGGING)

_TRUNK_FILES = (Dialect.CHAN_SIP, Dialect.PJSIP, Dialect.FREESWITCH)


async def measure(context: Context, record: Recorder) -> None:
    """Read the files and what they include: no packet is sent."""
    await read_files(context, record)


def judge(facts: Facts, profile: Profile, settings: Settings) -> list[Finding]:
    """Whether the trunk that the files describe is the one that the guide asks for."""
    if not facts.measured("config"):
        return []
    configuration = configuration_of(facts)
    if not (settings.pbx_config or configuration.handed or configuration.unread):
        return []  # nothing was given
    world = _world(configuration, facts, profile, settings)
    writer = _Writer(configuration)
    for unread in configuration.unread:
        writer.add(FILES, unread.path, judge_unread(unread), fact_ids=(unread.fact_id,))
    files = {handed.path: judge_file(handed, configuration) for handed in configuration.handed}
    for path, verdict in files.items():
        writer.add(FILES, path, verdict)
    trunks = _trunks(configuration, profile)
    for handed in configuration.of(Dialect.CHAN_SIP, Dialect.PJSIP):
        if any(trunk.dialect is handed.dialect for trunk in trunks) or _names_in(handed):
            writer.add(DRIVER, handed.path, judge_driver(handed, world))
    if not trunks:
        _judge_none(files, writer, world)
        return writer.findings
    lacking = {dialect: _lacking(configuration, dialect, files) for dialect in _TRUNK_FILES}
    for trunk in trunks:
        relay = relay_of(trunk, profile)
        for finding_id, rule in _RULES:
            verdict = rule(trunk, world)
            if relay is not None and finding_id not in _OF_THE_PBX:
                verdict = _as_relayed(verdict, relay)
            if finding_id != LOGGING and (what := lacking[trunk.dialect]) is not None:
                verdict = _as_far_as_read(verdict, trunk, what)
            verdict = with_refusals(verdict, finding_id, trunk)
            writer.add(finding_id, verdict.target or trunk.target, verdict)
    return writer.findings


def _lacking(configuration: Configuration, dialect: Dialect, files: Mapping[str, Verdict]) -> str | None:
    """What shows that settings of an Asterisk's trunk stand in files that were not given; None where nothing does."""
    config = configuration.asterisk(dialect)
    if config is None:
        return None
    for handed in configuration.of(dialect):
        if (read := files[handed.path]).reason in ("fragment", "include_missing", "include_not_followed"):
            return f"{read.place} goes by what was not given"
    if dialect is Dialect.CHAN_SIP and config.section("general") is None:
        return "no [general] was among the files"
    return None


def _as_relayed(verdict: Verdict, relay: Destination) -> Verdict:
    """The verdict, unless what lies between the PBX and the provider may put right what is wrong."""
    if verdict.status not in (Status.WARN, Status.FAIL):
        return verdict
    return Verdict(
        Status.UNKNOWN,
        "through_a_relay",
        f"{verdict.summary} But calls go by way of {relay.host} ({relay.setting.key}), which is none of the "
        "provider's: what it makes of them was not seen.",
        settle_by=f"Look at what {relay.host} sends to the provider, and what it takes: `vsipcheck message lint` "
        "judges a trace of it.",
        place=verdict.place,
        target=verdict.target,
    )


def _as_far_as_read(verdict: Verdict, trunk: Trunk, lacking: str) -> Verdict:
    """The verdict where a line that was read decided it; what is missing may stand in what was not read."""
    if verdict.status not in (Status.WARN, Status.FAIL) or verdict.place != trunk.place:
        return verdict
    return Verdict(
        Status.UNKNOWN,
        "not_read",
        f"{verdict.summary} That is as far as it was read: {lacking}.",
        settle_by="Give every file that the PBX reads for the trunk.",
        place=trunk.place,
        target=verdict.target,
    )


class _Writer:
    """Verdicts as findings, each key once."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._seen: set[tuple[str, str]] = set()
        self.findings: list[Finding] = []

    def add(self, finding_id: str, target: str, verdict: Verdict, fact_ids: Iterable[str] = ()) -> None:
        target = sanitise(target)
        if (finding_id, target) in self._seen:
            return
        self._seen.add((finding_id, target))
        place = verdict.place
        ids = dict.fromkeys(fact_ids)
        if place is not None and place.path in self._configuration.fact_ids:
            ids[self._configuration.fact_ids[place.path]] = None
        for edit in verdict.edits:
            if edit.path in self._configuration.fact_ids:
                ids[self._configuration.fact_ids[edit.path]] = None
        good = verdict.status in (Status.PASS, Status.SKIP)
        whose = FaultDomain.UNDETERMINED if verdict.status is Status.UNKNOWN else FaultDomain.PBX
        self.findings.append(
            Finding(
                id=finding_id,
                target=target,
                status=verdict.status,
                reason=verdict.reason,
                summary=sanitise(verdict.summary, max_length=1000),
                failure=verdict.failure,
                fault_domain=None if good else verdict.fault_domain or whose,
                confidence=verdict.confidence if verdict.status is not Status.UNKNOWN else None,
                remedy=None if verdict.remedy is None else sanitise(verdict.remedy, max_length=1000),
                settle_by=verdict.settle_by,
                guide_section=GUIDE_SECTIONS.get(finding_id),
                facts=tuple(ids),
                location=None if place is None else str(place),
                patch=None if good else self._patch(verdict),
            )
        )

    def _patch(self, verdict: Verdict) -> str | None:
        """A line that holds a secret is never in a diff: the remedy names it."""
        texts = self._configuration.texts
        edits = [
            edit
            for edit in verdict.edits
            if edit.path not in texts or not texts[edit.path].masked & set(range(edit.first, edit.last + 1))
        ]
        return unified_diff(edits, texts)


def _world(configuration: Configuration, facts: Facts, profile: Profile, settings: Settings) -> World:
    measured, by = settings.public_address, "was given or an earlier report measured"
    if measured is None and (seen := trunk_address(facts)) is not None:
        measured, by = seen, "this run measured"
    if measured is None and settings.expect_ip is not None:
        measured, by = settings.expect_ip, "--expect-ip names"
    addresses: dict[str, set[str]] = {pop.fqdn: set(pop.addresses) for pop in profile.signalling.pops}
    for lookup in facts.of(Lookup):
        if lookup.purpose == "trunk" and lookup.name in addresses:
            addresses[lookup.name] |= set(lookup.addresses)
    return World(
        configuration=configuration,
        profile=profile,
        settings=settings,
        public_address=measured,
        measured_by=by,
        sources=trunk_sources(facts),
        pop_addresses={name: frozenset(found) for name, found in addresses.items()},
    )


def _trunks(configuration: Configuration, profile: Profile) -> list[Trunk]:
    trunks: list[Trunk] = []
    if (config := configuration.asterisk(Dialect.CHAN_SIP)) is not None:
        trunks += chan_sip.trunks_of(config, profile)
    if (config := configuration.asterisk(Dialect.PJSIP)) is not None:
        trunks += pjsip.trunks_of(config, profile)
    xml = [one.freeswitch for one in configuration.of(Dialect.FREESWITCH) if one.freeswitch is not None]
    return trunks + freeswitch.trunks_of(xml, profile)


def _judge_none(files: Mapping[str, Verdict], writer: _Writer, world: World) -> None:
    """Why no trunk was judged; never the settings of a phone instead."""
    names = " or ".join(pop.fqdn for pop in world.profile.signalling.pops)
    configuration = world.configuration
    candidates = configuration.of(*_TRUNK_FILES)
    if not candidates:
        settle = "Give the file that the trunk stands in: sip.conf, pjsip.conf, or FreeSWITCH's gateway and profile."
        seen = configuration.handed or configuration.unread
        target = ", ".join(dict.fromkeys(one.path for one in seen)) or "no file"
        why = Verdict(
            Status.UNKNOWN,
            "no_trunk_file",
            "None of the files that could be read is one that a trunk stands in.",
            settle_by=settle,
        )
        writer.add(PEER, target, why)
        for finding_id in _ROWS:
            writer.add(finding_id, target, why)
        return
    for handed in candidates:
        read = files[handed.path]
        if configuration.unread or read.status is Status.UNKNOWN or read.reason == "include_missing":
            # The trunk may stand in what was not read.
            for finding_id in (PEER, *_ROWS):
                verdict = Verdict(
                    Status.UNKNOWN,
                    "not_read" if finding_id == PEER else "no_trunk_to_judge",
                    f"No section of what could be read of {handed.path} leads to the provider, and part was not read "
                    "(see config.files).",
                    settle_by="Give every file that the PBX reads for the trunk.",
                    place=Place(handed.path, 1),
                )
                writer.add(finding_id, handed.path, verdict)
            continue
        others = _names_in(handed)
        told = f" It has {', '.join(others[:8])}{' and more' if len(others) > 8 else ''}." if others else ""
        writer.add(
            PEER,
            handed.path,
            Verdict(
                Status.FAIL,
                "no_trunk",
                f"No section leads to the provider: none names {names}, or an address of it.{told}",
                f"Write the trunk ({_sample(handed.dialect)}), or give the file that it stands in.",
                place=Place(handed.path, 1),
                confidence=Confidence.LIKELY,
            ),
        )
        for finding_id in _ROWS:
            writer.add(
                finding_id,
                handed.path,
                Verdict(
                    Status.UNKNOWN,
                    "no_trunk_to_judge",
                    "No section leads to the provider, so that there is nothing to look at.",
                    settle_by="Write the trunk, or give the file that it stands in.",
                    place=Place(handed.path, 1),
                ),
            )


def _names_in(handed: Handed) -> list[str]:
    """All that is called or calls by the file, phones as well."""
    if handed.freeswitch is not None:
        return [f"gateway {gateway.name}" for gateway in handed.freeswitch.gateways]
    if handed.asterisk is None:
        return []
    sections = (
        chan_sip.peers_of(handed.asterisk)
        if handed.dialect is Dialect.CHAN_SIP
        else pjsip.endpoints_of(handed.asterisk)
    )
    return [f"[{section.name}]" for section in sections]


def _sample(dialect: Dialect) -> str:
    kind = "freeswitch" if dialect is Dialect.FREESWITCH else "asterisk-pjsip"
    return f"`vsipcheck config sample {kind}` prints one"


CHECK = Check(
    name="config",
    title="reading the PBX's configuration",
    finding_ids=_IDS,
    needs=(),
    measure=measure,
    judge=judge,
)
