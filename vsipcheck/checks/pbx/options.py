"""What the PBX says of itself in its answer to OPTIONS: liveness, methods, body types. RFC 3261 §11.2.

- 401, 403, 407: it does not know us, and is right to ask. What it tells the trunk stays unknown.
- 404, 405, 480, 484, 486, 501, 604 are answers of a live PBX as good as a 200: OPTIONS asks about a user, or at all.
- 482 and 483 mean a loop: what we send may pass 70 hops.
- An absent Allow says nothing (§20.5), nor does an absent Accept, which stands for application/sdp (§20.1).
- Supported (§20.37) is told and not judged: the trunk's INVITE requires no extension.
- Each request may be answered by another of several servers: the worst answer counts.
- An answer to our only outstanding request that does not match it was rewritten: a warning, and whose work is open.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from functools import partial

from vsipcheck.checks.pbx.target import Pbx
from vsipcheck.checks.pbx.verdict import IN_ITS_LOG, REJECTED, count, let_in, our_address, quoted, verdict
from vsipcheck.model import Failure, FaultDomain, Finding, Measure, Status
from vsipcheck.wire.sip.grammar import split_list
from vsipcheck.wire.sip.message import SipResponse

OPTIONS_FINDING = "pbx.options"

# A call needs these: RFC 3261 §13, §9, §15. OPTIONS is none of them: a 405 to it names all the others (§21.4.6).
_CALL_METHODS = ("INVITE", "ACK", "CANCEL", "BYE")
# The rest of the Allow in the guide's section A.
_TRUNK_EXTRAS = ("REFER", "SUBSCRIBE", "NOTIFY", "INFO", "PUBLISH", "MESSAGE")

_Told = Callable[..., Finding]


def judge_options(pbx: Pbx) -> Finding | None:
    """`pbx.options`: liveness, methods and body types by the PBX's own word; None where nothing that is SIP came."""
    if not pbx.speaks_sip:
        return None
    facts = [*(asked.exchange for asked in pbx.options), *pbx.keepalives]
    answered = [asked for asked in pbx.options if asked.answer is not None]
    rtts = [each.exchange.rtt_ms for each in answered if each.exchange.rtt_ms is not None]
    measures = (
        *(() if not rtts else (Measure(name="rtt_median_ms", value=round(statistics.median(rtts), 3), unit="ms"),)),
        count("sent", len(pbx.options)),
        count("answered", len(answered)),
    )

    told = partial(verdict, OPTIONS_FINDING, pbx, facts=facts, measures=measures)
    answers = [asked.answer for asked in answered if asked.answer is not None]
    if not answers:
        return _unanswered(pbx, told)
    found = [_judge_answer(pbx, answer, answers, told) for answer in answers]
    worst = min(found, key=lambda finding: _WORST_FIRST.index(finding.status))
    if worst.status is Status.WARN:
        return worst
    if any(asked.altered is not None for asked in pbx.options):
        return _unanswered(pbx, told)
    if worst.status is Status.PASS and len(answered) < len(pbx.options):
        code, headers = _code(answers[0], answers), _headers(answers[0])
        return told(
            Status.WARN,
            "lost_some",
            f"{code}, but only {len(answered)} of {len(pbx.options)} OPTIONS were answered.{headers}",
            domain=FaultDomain.UNDETERMINED,
            settle_by="Run again a few times: loss, a limit on requests, or several servers behind one address.",
        )
    return worst


# Where one was let in and another was not, what the PBX says of itself is known.
_WORST_FIRST = (Status.WARN, Status.PASS, Status.UNKNOWN)


def _code(answer: SipResponse, answers: Sequence[SipResponse]) -> str:
    """The code and phrase of an answer, and the codes of those that say something else."""
    code = f"{answer.status} {quoted(answer.reason, 40)}".strip()
    others = dict.fromkeys(str(each.status) for each in answers if each.status != answer.status)
    return f"{code} (to others of our OPTIONS: {', '.join(others)})" if others else code


def _judge_answer(pbx: Pbx, answer: SipResponse, answers: Sequence[SipResponse], told: _Told) -> Finding:
    """What one of the answers says."""
    code, headers = _code(answer, answers), _headers(answer)
    if answer.status in REJECTED:
        return told(
            Status.UNKNOWN,
            "source_rejected",
            f"{code}: the PBX does not take OPTIONS from {our_address(pbx)}. One that knows its peers by address is "
            "right to, so that what it would tell the trunk is not known.",
            remedy=let_in(pbx),
        )
    if answer.status // 100 in (5, 6) and answer.status not in (501, 604):
        return told(
            Status.WARN,
            "server_error",
            f"{code}: the PBX is alive and says that it cannot serve.{headers}",
            remedy="Look into the PBX's log for what it lacks.",
            settle_by=IN_ITS_LOG,
        )
    if answer.status in (400, 408, 420, 421, 482, 483) or answer.status // 100 == 3:
        return told(
            Status.WARN,
            f"status_{answer.status}",
            f"{code}: the PBX is alive, and has something against OPTIONS as the trunk would send it.{headers}",
            domain=FaultDomain.UNDETERMINED if answer.status == 400 else FaultDomain.PBX,
            remedy="Look into the PBX's log for what it has against the request.",
            settle_by=IN_ITS_LOG,
        )
    rules = list(dict.fromkeys(deviation.code for deviation in answer.errors))
    if answer.header("Content-Length") is None:
        rules.append("content_length_missing")  # RFC 3261 §20.14: over TCP, which these came over, it has to be there
    if rules:
        return told(
            Status.WARN,
            "odd_answer",
            f"{code}, in a message that breaks rules of SIP: {', '.join(rules[:3])}.{headers}",
            remedy="Report it to the maker of the PBX, or of whatever stands in front of it.",
        )
    return _methods(answer, code, headers, told)


def _unanswered(pbx: Pbx, told: _Told) -> Finding:
    altered = next((asked for asked in pbx.options if asked.altered is not None), None)
    if altered is not None:
        return told(
            Status.WARN,
            "altered",
            "An answer came whose branch, sent-by, Call-ID or CSeq is not that of our request: something on the way, "
            "or the PBX itself, rewrites SIP, and the trunk would have to discard such an answer.",
            domain=FaultDomain.UNDETERMINED,
            remedy="Turn off SIP ALG (SIP helper, SIP inspection) in the routers and firewalls between.",
            settle_by="Compare captures on this host and on the PBX.",
            failure=Failure.MISMATCH,
        )
    return told(
        Status.UNKNOWN,
        "ignored",
        f"SIP is alive there, and OPTIONS from {our_address(pbx)} gets no final answer.",
        remedy=let_in(pbx),
        failure=pbx.options[0].exchange.failure if pbx.options else Failure.NO_ANSWER,
    )


def _methods(answer: SipResponse, code: str, headers: str, told: _Told) -> Finding:
    """The Allow and Accept of an answer. What is absent says nothing. RFC 3261 §20.5, §20.1."""
    accepted = [part.partition(";")[0].strip().lower() for part in _values(answer, "Accept")]
    if accepted and not {"application/sdp", "application/*", "*/*"} & set(accepted):
        return told(
            Status.WARN,
            "sdp_not_accepted",
            f"{code}. Its Accept names no application/sdp, which every INVITE of the trunk carries.{headers}",
            remedy="Let the PBX accept application/sdp.",
        )
    allowed = [method.upper() for method in _values(answer, "Allow")]
    if not allowed:
        return told(
            Status.PASS,
            "allow_absent",
            f"{code}. It names no methods (no Allow), which says nothing about them.{headers}",
        )
    missing = [method for method in _CALL_METHODS if method not in allowed]
    if missing:
        return told(
            Status.WARN,
            "methods_missing",
            f"{code}. Its Allow leaves out {', '.join(missing)}, which a call of the trunk's needs.{headers}",
            remedy=f"Allow {', '.join(missing)} on the PBX.",
        )
    without = [method for method in _TRUNK_EXTRAS if method not in allowed]
    more = f" Of the trunk's own methods it has not {', '.join(without)}, which no call needs." if without else ""
    return told(
        Status.PASS,
        "answered",
        f"{code}. Its Allow has what a call needs.{more}{headers} OPTIONS shows a live PBX, not that it takes a call.",
    )


def _values(answer: SipResponse, name: str) -> list[str]:
    return [part for header in answer.headers_named(name) for part in split_list(header.value)]


def _headers(answer: SipResponse) -> str:
    """What the PBX says about itself, and the trouble that it names."""
    told = []
    for name in ("Server", "User-Agent"):
        if value := answer.header(name):
            told.append(f" {name}: {quoted(value, 60)}.")
            break
    if tags := _values(answer, "Supported"):
        told.append(f" Supported: {quoted(', '.join(tags), 60)}.")
    for name in ("Retry-After", "Reason", "Warning"):
        if answer.status >= 300 and (value := answer.header(name)):
            told.append(f" {name}: {quoted(value)}.")
    return "".join(told)
