"""Surveys the media addresses with a sample of the ports, and sweeps all ports of theirs if asked for."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from vsipcheck.checks.base import Context, Recorder
from vsipcheck.checks.media.survey import MediaSurvey
from vsipcheck.checks.media.targets import is_wanted
from vsipcheck.checks.udp_prober import UdpProber
from vsipcheck.model import Failure, Family, Icmp, Note, PortSpan, Profile, Route
from vsipcheck.wire import rtp

SWEEP_DRAIN_S = 0.4  # longer than a round trip to anywhere but over a satellite; who is silent then is not judged


async def measure(context: Context, record: Recorder) -> None:
    """Survey the sample, then sweep if asked for. Records Hop and PortSpan facts."""
    settings, network, profile = context.settings, context.network, context.profile
    targets = [media.address for media in profile.media.addresses if is_wanted(media.address, settings.family)]
    if not targets:
        return
    record.add(
        Note(
            topic="sample",
            text="ports are drawn at random from equal strata of the range",
            values={"seed": settings.seed, "ports_per_address": settings.ports_per_address},
        )
    )
    for is_v6, group in itertools.groupby(sorted(targets, key=lambda a: ":" in a), key=lambda a: ":" in a):
        addresses = list(group)
        for address in addresses:
            _record_route(context, record, address)
        socket = network.udp_socket(Family.IPV6 if is_v6 else Family.IPV4, source=settings.source)
        if isinstance(socket, Failure):
            for address in addresses:
                record.add(_unsent(profile, address, socket))
            continue
        prober = UdpProber(network, socket, 0x76730000 | (settings.seed & 0xFFFF), context.answers)
        try:
            survey = MediaSurvey(context, record, prober, addresses)
            if network.capabilities.ttl_probes:
                await survey.run()
            else:
                record.add(Note(topic="platform", text=network.capabilities.why_not or "no ICMP errors without root"))
                await survey.run_plain()
        finally:
            await prober.close()
    if settings.sweep:
        await _sweep(context, record, targets)


def _record_route(context: Context, record: Recorder, address: str) -> None:
    choice = context.network.route_to(address)
    record.add(
        Route(
            destination=address,
            source_address=choice.source_address,
            interface=choice.interface,
            gateway=choice.gateway,
            failure=choice.failure,
        )
    )


def _unsent(profile: Profile, address: str, failure: Failure) -> PortSpan:
    media = profile.media
    return PortSpan(
        target=address,
        method="sample",
        first_port=media.first_port,
        last_port=media.last_port,
        outcome="local",
        failure=failure,
    )


async def _sweep(context: Context, record: Recorder, targets: Sequence[str]) -> None:
    """One packet to every port of every address, paced; spans of equal outcome."""
    media, settings = context.profile.media, context.settings
    size = media.last_port - media.first_port + 1
    wanted = [(address, port) for port in range(media.first_port, media.last_port + 1) for address in targets]
    ssrc = 0x76740000 | (settings.seed & 0xFFFF)
    even, odd = rtp.probe_packet(1, ssrc), rtp.rtcp_probe_packet(1, ssrc)
    started = context.network.now_ms()
    result = await context.network.sweep(
        wanted,
        lambda port: odd if port % 2 else even,
        rate=settings.rate,
        source=settings.source,
        drain_s=SWEEP_DRAIN_S,
        progress=lambda sent: context.progress("media", sent, len(wanted), "packets of the sweep sent"),
        stop=context.stopping,
    )
    outcomes: list[tuple[str, Failure | None, Icmp | None]] = [("silent", None, None), ("unsent", None, None)]
    index_of: dict[tuple[str, Failure | None, Icmp | None], int] = {o: i for i, o in enumerate(outcomes)}

    def code(outcome: tuple[str, Failure | None, Icmp | None]) -> int:
        if outcome not in index_of:
            index_of[outcome] = len(outcomes)
            outcomes.append(outcome)
        return min(index_of[outcome], 255)

    seen = bytearray(len(wanted))
    for index in range(result.sent + len(result.local_failures), len(wanted)):
        seen[index] = 1
    for index, local_failure in result.local_failures:
        seen[index] = code(("local", local_failure, None))
    for event in result.events:
        answered = event.failure is None
        seen[event.index] = code(("answered", None, None) if answered else ("icmp", event.failure, event.icmp))
    for offset, address in enumerate(targets):
        mine = seen[offset :: len(targets)]
        first = 0
        for value, run in itertools.groupby(mine):
            length = sum(1 for _ in run)
            outcome, failure, icmp = outcomes[value]
            record.add(
                PortSpan(
                    target=address,
                    method="sweep",
                    first_port=media.first_port + first,
                    last_port=media.first_port + first + length - 1,
                    payload="rtp/rtcp",
                    sent=length if outcome != "unsent" else 0,
                    outcome=outcome,
                    failure=failure,
                    icmp=icmp,
                ),
                offset_ms=started,
            )
            first += length
        assert first == size
    record.add(
        Note(
            topic="sweep",
            text="one packet to every port of the range on every address",
            values={
                "packets": result.sent,
                "rate": settings.rate,
                "duration_ms": round(result.duration_ms, 1),
                "icmp_unattributed": result.unattributed,
                "stopped": result.stopped,
            },
        )
    )
