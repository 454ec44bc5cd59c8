"""How far away our own public address is: TTL-limited UDP probes towards it.

A router answers time-exceeded for a packet that it would forward, so whoever does so does not hold the address. The
router that holds it takes the packet in, whatever its TTL: it answers port-unreachable from that address, or nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from vsipcheck.checks.base import Context, Recorder
from vsipcheck.checks.udp_prober import Probe, UdpProber
from vsipcheck.model import Failure, Hop
from vsipcheck.wire import rtp

FAR_TTLS = (5, 4, 3)
# The near hops are asked first, one by one: a router that holds the address answers every TTL beyond it, all out of one
# budget of ICMP errors.
NEAR_WAIT_S = 0.4
FAR_WAIT_S = 0.8
# A gateway at 1 ms says nothing of how slow the line behind it is, so that silence from there is given more time.
SLOW_LINE_S = 0.3
# Before a router is asked again it may regain its ICMP budget: Linux gives each host about one such answer a second
# once a burst of six is spent.
BUDGET_GAP_S = 0.35
# A silent gateway is asked again, each time with a control right behind.
GATEWAY_ROUNDS = 3
ENOUGH_CONTRASTS = 2
# Whether a carrier's router is there turns a warning into a failure: one lost packet must not hide it.
WHO_IS_THERE_ROUNDS = 4
# A port per TTL, for routers that quote no payload. Beyond the media range, which customers forward to their PBX: some
# routers forward such a port for senders inside as well, and then look like routers that do not hold the address.
FIRST_PORT = 61230
SSRC = 0x6E617470


@dataclass(slots=True)
class _Tally:
    probes: list[Probe] = field(default_factory=list)
    contrasts: int = 0

    @property
    def answered(self) -> list[Probe]:
        return [probe for probe in self.probes if probe.answered]


class PublicProbe:
    """Probes public addresses out of one socket, of which `own_port` is the port; one address after the other."""

    def __init__(
        self, context: Context, record: Recorder, prober: UdpProber, own_port: int, left_s: Callable[[], float]
    ) -> None:
        self._context = context
        self._record = record
        self._prober = prober
        self._own_port = own_port
        self._left_s = left_s
        media = (media.address for media in context.profile.media.addresses)
        self._control_target = next((address for address in media if ":" not in address), None)

    async def probe(self, public: str) -> None:
        """Record how far `public` is: Hop facts of series `udp_public`, and `udp_control` for the controls.

        One probe goes to our own port, to come back if the gateway translates the address to this very host.
        """
        started = self._context.network.now_ms()
        tallies: dict[int, _Tally] = {ttl: _Tally() for ttl in (1, 2, *FAR_TTLS)}
        controls: list[Probe] = []
        returning: list[Probe] = []
        try:
            await self._ask(public, tallies, (1,), NEAR_WAIT_S)
            if _reached(tallies, public) == 1:
                return
            returning.append(self._prober.send(public, self._own_port, 2))
            await self._ask(public, tallies, (2,), NEAR_WAIT_S)
            if not _reached(tallies, public):
                await self._ask(public, tallies, FAR_TTLS, FAR_WAIT_S)
            if farthest := _farthest(tallies):
                await self._fill_gaps(public, tallies, farthest)
                await self._ask_who_is_there(_farthest(tallies) + 1, controls)
            for turn in range(GATEWAY_ROUNDS):
                if _farthest(tallies) or tallies[1].answered or tallies[1].contrasts >= ENOUGH_CONTRASTS:
                    break
                if turn:
                    await asyncio.sleep(min(BUDGET_GAP_S, self._left_s()))
                if self._left_s() <= 0 or self._context.stopping():
                    break
                await self._contrast(public, tallies, controls)
        finally:
            self._record_hops(public, started, tallies, controls, returning)

    async def _ask(self, public: str, tallies: dict[int, _Tally], ttls: Iterable[int], limit_s: float) -> None:
        sent = await self._prober.send_all((public, FIRST_PORT + ttl, ttl) for ttl in ttls)
        for probe in sent:
            tallies[probe.ttl or 0].probes.append(probe)
        await self._prober.settle(sent, min(limit_s, self._left_s()))

    async def _fill_gaps(self, public: str, tallies: dict[int, _Tally], farthest: int) -> None:
        """Ask again where nothing came back between the last router that forwards and the address itself.

        Without this, a lost packet puts the address farther away than it is.
        """
        for _ in range(2):
            end = _reached(tallies, public) or max(tallies) + 1
            gaps = [ttl for ttl in range(farthest + 1, end) if not tallies[ttl].answered]
            if not gaps:
                return
            if not any(tallies[ttl].answered for ttl in tallies if ttl > 1):
                await asyncio.sleep(min(SLOW_LINE_S, self._left_s()))
            await self._ask(public, tallies, [ttl for ttl in reversed(gaps) if not tallies[ttl].answered], FAR_WAIT_S)
            farthest = _farthest(tallies)
        if not any(tallies[ttl].answered for ttl in tallies if ttl > 1):
            await asyncio.sleep(min(SLOW_LINE_S, self._left_s()))

    async def _ask_who_is_there(self, ttl: int, controls: list[Probe]) -> None:
        """Who is at the hop where the address lives, or behind the last that forwards to it: by another path."""
        for turn in range(WHO_IS_THERE_ROUNDS):
            if turn:  # the router may have spent its budget on the probes to the address
                await asyncio.sleep(min(BUDGET_GAP_S, self._left_s()))
            if self._control_target is None or self._left_s() <= 0 or self._context.stopping():
                return
            control = self._prober.send(self._control_target, FIRST_PORT + ttl, ttl)
            controls.append(control)
            await self._prober.settle([control], min(FAR_WAIT_S, self._left_s()))
            if control.answered:
                return

    async def _contrast(self, public: str, tallies: dict[int, _Tally], controls: list[Probe]) -> None:
        """One more probe that ends at hop 1, and a control that is known to be answered from there or beyond.

        Same port, right behind: only the destination differs, or (once the address itself answers) the TTL.
        """
        probe = self._prober.send(public, FIRST_PORT + 1, 1)
        tallies[1].probes.append(probe)
        reached = _reached(tallies, public)
        if reached:
            control = self._prober.send(public, FIRST_PORT + reached, reached)
            tallies[reached].probes.append(control)
        elif self._control_target is not None:
            control = self._prober.send(self._control_target, FIRST_PORT + 1, 1)
            controls.append(control)
        else:
            return
        await self._prober.settle([probe, control], min(FAR_WAIT_S, self._left_s()))
        if control.answered and not probe.answered and probe.local_failure is None:
            tallies[1].contrasts += 1

    def _record_hops(
        self,
        public: str,
        started_ms: float,
        tallies: dict[int, _Tally],
        controls: list[Probe],
        returning: list[Probe],
    ) -> None:
        if any(self._came_back(probe) for probe in returning):
            self._record.add(
                Hop(
                    target=public,
                    series="udp_public",
                    ttl=2,
                    ports=(self._own_port,),
                    sent=1,
                    answered=1,
                    address=public,
                    reached=True,
                ),
                offset_ms=started_ms,
            )
        else:
            tallies[2].probes.extend(returning)
        for ttl, tally in sorted(tallies.items()):
            self._record_hop(public, "udp_public", ttl, tally.probes, tally.contrasts, started_ms)
        for ttl in sorted({control.ttl or 0 for control in controls}):
            same = [control for control in controls if control.ttl == ttl]
            self._record_hop(same[0].target, "udp_control", ttl, same, 0, started_ms)

    def _came_back(self, probe: Probe) -> bool:
        read = rtp.rtcp_probe_number if probe.port % 2 else rtp.probe_number
        return probe.datagram_from_target or any(
            read(stray.data, SSRC) == probe.number for stray in self._prober.strays
        )

    def _record_hop(
        self, target: str, series: str, ttl: int, probes: list[Probe], contrasts: int, started_ms: float
    ) -> None:
        sent = [probe for probe in probes if probe.local_failure is None]
        if not sent:
            return
        answered = [probe for probe in sent if probe.answered]
        from_target = [
            probe for probe in answered if probe.from_target or (probe.icmp and probe.icmp.address == target)
        ]
        first = next(iter(from_target or answered), None)
        rtts = [probe.rtt_ms for probe in answered if probe.rtt_ms is not None]
        self._record.add(
            Hop(
                target=target,
                series=series,
                ttl=ttl,
                ports=tuple(sorted({probe.port for probe in sent})),
                sent=len(sent),
                answered=len(answered),
                address=first.icmp.address if first and first.icmp else target if first else None,
                rtt_ms=min(rtts, default=None),
                icmp=first.icmp if first else None,
                reached=bool(from_target),
                contrasts=contrasts,
                duration_ms=round(self._context.network.now_ms() - started_ms, 3),
            ),
            offset_ms=started_ms,
        )


def _is_expired(tally: _Tally) -> bool:
    return any(probe.failure is Failure.TTL_EXCEEDED for probe in tally.probes)


def _farthest(tallies: dict[int, _Tally]) -> int:
    """The largest TTL that a router answered time-exceeded, 0 if none."""
    return max((ttl for ttl, tally in tallies.items() if _is_expired(tally)), default=0)


def _reached(tallies: dict[int, _Tally], public: str) -> int:
    """The smallest TTL at which the address itself answered, whatever it said; 0 if none."""

    def spoke(probe: Probe) -> bool:
        return probe.icmp is not None and probe.icmp.address == public

    return min((ttl for ttl, tally in tallies.items() if any(spoke(probe) for probe in tally.probes)), default=0)
