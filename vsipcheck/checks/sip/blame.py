"""Whose fault it is that a connection could not be made, and what that party has to do.

What can be seen, what else would look just like it, and so what may be said:

- RST: no listener, or a firewall's forgery. SYNs whose TTL cannot reach the target tell (`paths.blame_refusal`).
  Without them: one that comes back in a fraction of the time that a control connection to the same address takes was
  sent by something nearer; otherwise it is the far end's, `possible`.
- Three SYNs lost: whose place that is, the hops tell (`paths.blame_silence`). Fewer prove nothing: `unknown`.
"""

from __future__ import annotations

from collections.abc import Sequence

from vsipcheck.checks.base import Facts
from vsipcheck.checks.paths import SYN_AGAIN_MS, Blame, blame_icmp, blame_refusal, blame_silence
from vsipcheck.checks.sip.addresses import our_address
from vsipcheck.checks.sip.target import Target
from vsipcheck.checks.sip.verdict import Fault
from vsipcheck.model import Confidence, Connection, Failure, FaultDomain, Profile, Status

SYNS_TO_PROVE_SILENCE = 3
# An RST nearer than this part of a control's round trip, both well above timer noise, was not sent by the same host.
_NEARER = 0.5
_RTT_NOISE_MS = 5.0
# The more telling first: who answers says more than silence.
_TELLING = (
    Failure.LOCAL_DENIED,
    Failure.ADDRESS_UNAVAILABLE,
    Failure.ADMIN_PROHIBITED,
    Failure.PORT_UNREACHABLE,
    Failure.PROTOCOL_UNREACHABLE,
    Failure.HOST_UNREACHABLE,
    Failure.NET_UNREACHABLE,
    Failure.TTL_EXCEEDED,
    Failure.REFUSED,
    Failure.RESET,
    Failure.CONNECT_TIMEOUT,
    Failure.KERNEL_TIMEOUT,
    Failure.NO_ROUTE,
)
_ICMP = frozenset(
    {
        Failure.ADMIN_PROHIBITED,
        Failure.PORT_UNREACHABLE,
        Failure.PROTOCOL_UNREACHABLE,
        Failure.HOST_UNREACHABLE,
        Failure.NET_UNREACHABLE,
        Failure.TTL_EXCEEDED,
    }
)
TIMEOUTS = frozenset({Failure.CONNECT_TIMEOUT, Failure.KERNEL_TIMEOUT})


def most_telling(bad: Sequence[Connection]) -> Connection:
    """Of connections that failed, the one whose failure says the most; the first of several."""
    return min(bad, key=lambda attempt: _TELLING.index(attempt.failure) if attempt.failure in _TELLING else 99)


def count_syns(bad: Sequence[Connection]) -> int:
    """How many SYNs were sent in vain over all attempts, by how long each waited."""
    return sum(
        sum(at_ms <= (attempt.waited_ms or attempt.duration_ms or 0.0) for at_ms in (0.0, *SYN_AGAIN_MS))
        for attempt in bad
        if attempt.failure in TIMEOUTS
    )


def blame_connect(
    worst: Connection,
    bad: Sequence[Connection],
    controls: Sequence[Connection],
    target: Target,
    facts: Facts,
    profile: Profile,
    port: int,
) -> tuple[Status, str, Fault]:
    """Verdict and fault domain where no attempt succeeded."""
    address = target.address
    assert address is not None
    failure = worst.failure
    assert failure is not None
    if failure in TIMEOUTS:
        if count_syns(bad) < SYNS_TO_PROVE_SILENCE and not any(a.failure is Failure.KERNEL_TIMEOUT for a in bad):
            return (
                Status.UNKNOWN,
                "connect_timeout",
                Fault(FaultDomain.UNDETERMINED, Confidence.POSSIBLE, settle_by="Run with --timeout 5 or more."),
            )
        silence = blame_silence(facts, address, port)
        return Status.FAIL, "connect_timeout", _blame_path(silence, target, facts, profile, port)
    if failure in (Failure.REFUSED, Failure.RESET):
        refusal = blame_refusal(facts, address, port)
        if refusal is None:
            return Status.FAIL, "refused", _blame_reset(worst, controls, address, port)
        return Status.FAIL, "refused", _blame_rst(refusal, target, facts, profile, port)
    if failure in _ICMP:
        if worst.icmp is not None and worst.icmp.address is not None:
            return (
                Status.FAIL,
                str(failure),
                _blame_path(blame_icmp(facts, worst.icmp, address), target, facts, profile, port),
            )
        if worst.icmp is not None and failure is Failure.HOST_UNREACHABLE:
            # Our own kernel says so when nobody answers its ARP or neighbour solicitation.
            return (
                Status.FAIL,
                str(failure),
                Fault(
                    FaultDomain.LOCAL_NETWORK,
                    Confidence.POSSIBLE,
                    "Check the gateway of this network.",
                    sentence="This host's own kernel says so: the next hop does not answer.",
                ),
            )
        return (
            Status.FAIL,
            str(failure),
            Fault(
                FaultDomain.UNDETERMINED,
                Confidence.POSSIBLE,
                settle_by="Capture ICMP on this host while running again: its sender is who blocks.",
            ),
        )
    if failure is Failure.LOCAL_DENIED:
        return (
            Status.FAIL,
            "local_denied",
            Fault(
                FaultDomain.HOST,
                Confidence.PROVEN,
                f"Let TCP {port} out to {address} in this host's own firewall.",
            ),
        )
    if failure is Failure.ADDRESS_UNAVAILABLE:
        return (
            Status.FAIL,
            "address_unavailable",
            Fault(FaultDomain.HOST, Confidence.PROVEN, "Give --source an address of this host."),
        )
    settle_by = "Look up the errno of this host's own error: `vsipcheck sip --verbose`."
    return (
        Status.UNKNOWN,
        "not_possible",
        Fault(FaultDomain.UNDETERMINED, Confidence.POSSIBLE, settle_by=settle_by),
    )


def _blame_rst(path: Blame, target: Target, facts: Facts, profile: Profile, port: int) -> Fault:
    """What TTL-limited SYNs say of a RST. The far end is asked about its listener, not about a whitelist alone."""
    blame = _blame_path(path, target, facts, profile, port)
    if path.domain is not FaultDomain.PROVIDER:
        return blame
    seen = path.sentence.replace("your ", "our ")
    remedy = (
        f"Ask {profile.provider} whether {target.address} takes connections on TCP {port}, and from whom "
        f"({our_address(facts)} is refused): {seen}."
    )
    return Fault(path.domain, path.confidence, remedy, path.settle_by, path.sentence, path.facts)


def _blame_path(path: Blame, target: Target, facts: Facts, profile: Profile, port: int) -> Fault:
    """What the hops say, with what that party has to do: to the provider, a sentence that can be sent on as it is."""
    place = f"TCP {port} of {_named(target)}"
    seen = path.sentence.replace("your ", "our ").rstrip(".")
    remedy = {
        FaultDomain.HOST: f"Let {place} out in this host's own firewall.",
        FaultDomain.LOCAL_NETWORK: f"Let {place} out in this network's router or firewall.",
        FaultDomain.ISP: f"Ask the ISP to let {place} through: {seen}.",
        FaultDomain.PROVIDER: f"Ask {profile.provider} to whitelist {our_address(facts)} for {place}: {seen}.",
    }.get(path.domain)
    if remedy is None and path.leaves_network:
        remedy = (
            f"Ask the ISP whether it lets {place} through, and {profile.provider} whether it lets "
            f"{our_address(facts)} in: {seen}."
        )
    if remedy is None:
        remedy = f"Let {place} out in your router; if it already does, ask the ISP behind it."
    return Fault(path.domain, path.confidence, remedy, path.settle_by, path.sentence, path.facts)


def _named(target: Target) -> str:
    return target.name if target.address in (None, target.name) else f"{target.name} ({target.address})"


def _blame_reset(worst: Connection, controls: Sequence[Connection], address: str, port: int) -> Fault:
    """Who sent the RST: the far end, unless a control connection shows that it came from somewhere nearer."""
    took = _first_known(worst.rtt_ms, worst.waited_ms, worst.duration_ms)
    settle_by = "Compare a capture on the WAN side: an RST that is not in it is the customer's own firewall's."
    reached = [control.rtt_ms for control in controls if control.failure is None and control.rtt_ms is not None]
    if reached and took is not None:
        control_ms = min(reached)
        if control_ms > _RTT_NOISE_MS and took < control_ms * _NEARER:
            return Fault(
                FaultDomain.UNDETERMINED,
                Confidence.POSSIBLE,
                settle_by=settle_by,
                sentence=f"The RST came after {took:.0f} ms, but another port of that address answers after "
                f"{control_ms:.0f} ms: something nearer sends it.",
            )
        if control_ms > _RTT_NOISE_MS:
            return Fault(
                FaultDomain.PROVIDER,
                Confidence.POSSIBLE,
                remedy=f"Ask the provider whether {address} serves SIP on TCP {port}, and to whom.",
                settle_by=settle_by,
                sentence=f"The RST took as long as the answer of another port of that address, {control_ms:.0f} ms: it "
                "is probably the far end's.",
            )
    return Fault(FaultDomain.UNDETERMINED, Confidence.POSSIBLE, settle_by=settle_by)


def _first_known(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


_HOW = {
    Failure.REFUSED: "refused (RST)",
    Failure.RESET: "reset while connecting (RST)",
    Failure.CONNECT_TIMEOUT: "no answer to SYN",
    Failure.KERNEL_TIMEOUT: "no answer to SYN",
    Failure.LOCAL_DENIED: "denied by this host's own firewall",
    Failure.ADDRESS_UNAVAILABLE: "the source address is not one of this host's",
}


def how_it_failed(attempt: Connection) -> str:
    """In the field's words what became of a connection that failed."""
    assert attempt.failure is not None
    told = _HOW.get(attempt.failure, str(attempt.failure).replace("_", " "))
    if attempt.failure in TIMEOUTS and attempt.waited_ms is not None:
        told += f" in {attempt.waited_ms / 1000:.1f} s"
    if attempt.icmp is not None and attempt.icmp.address is not None:
        told += f", by ICMP from {attempt.icmp.address}"
    return told
