"""A SIP message or a trace against the guide's tables of header fields. Reads a file; sends nothing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, BinaryIO

from vsipcheck.checks.base import Check, Context, Facts, Recorder
from vsipcheck.checks.message import answers, caller_id, framing, headers, sdp, transport
from vsipcheck.checks.message.answers import judge_answer
from vsipcheck.checks.message.calls import MAX_INVITES, Invite, Record, Sizes, read_invites, split_hops
from vsipcheck.checks.message.framing import judge_framing
from vsipcheck.checks.message.headers import judge_headers, judge_other_hop
from vsipcheck.checks.message.outbound import judge_outbound
from vsipcheck.checks.message.sdp import judge_sdp
from vsipcheck.model import Confidence, Failure, FaultDomain, Finding, Note, Profile, Settings, Status
from vsipcheck.net.waiting import in_daemon_thread
from vsipcheck.wire.capture import MAX_CAPTURE, capture_text, is_capture
from vsipcheck.wire.trace import MAX_MESSAGES, MAX_TRACE, Trace, keep_messages, mask_secrets, read_trace

TOPIC = "file"
# The first octets of files that hold others: a ticket of ours, a capture that was packed for the mail.
_PACKED = {b"PK\x03\x04": "zip", b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"(\xb5/\xfd": "zstd"}


async def measure(context: Context, record: Recorder) -> None:
    """Reads the file or stdin, in a thread, since either may be a pipe in which nothing comes."""
    path = context.settings.message
    if path is None:
        return
    shown = "stdin" if path == "-" else path
    try:
        data = await in_daemon_thread(lambda: _read(path), "message")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        record.add(
            Note(topic=TOPIC, text=f"{shown}: {why}", values=_values(shown, failure=Failure.LOCAL_ERROR, detail=why))
        )
        return
    record.add(read_file(shown, data))


def read_file(path: str, data: bytes) -> Note:
    """What was read, as a fact: the messages of the trace and the lines that tell about them, secrets written over."""
    captured = is_capture(data)
    left_out = tuple(f"it is packed ({kind}): unpack it" for octets, kind in _PACKED.items() if data.startswith(octets))
    if captured:
        capture = capture_text(data)
        data, left_out = capture.text, capture.left_out
    trace = read_trace(data)
    if trace.truncated:
        left_out += (f"of the text the first {MAX_TRACE >> 20} MiB and {MAX_MESSAGES} messages were read",)
    text, secrets = mask_secrets(keep_messages(data, trace))
    count = text.count("\n") + (not text.endswith("\n"))
    plural = "" if secrets == 1 else "s"
    length = f"a capture with {len(trace.messages)} SIP messages" if captured else f"{count} lines"
    # A redacted report has other lengths: how long bodies were is a fact of its own.
    sized = [each for each in trace.messages if each.body or each.message.start_raw.startswith(b"INVITE ")]
    sizes = {str(each.line): {"body": list(each.body_sizes), "whole": each.is_whole} for each in sized}
    return Note(
        topic=TOPIC,
        text=f"{path}, {length}, {secrets} secret{plural} masked",
        values=_values(path, text=text, sizes=sizes, left_out=left_out, capture=captured),
    )


def _values(path: str, **more: Any) -> dict[str, Any]:
    return {"path": path, "text": None, "failure": None, "included_from": None, **more}


def _read(path: str) -> bytes:
    if path == "-":
        return _read_from(sys.stdin.buffer)
    with Path(path).open("rb") as file:
        return _read_from(file)


def _read_from(file: BinaryIO) -> bytes:
    """As much of a text as is read, or of a capture, which holds much else; an octet more shows that there is more."""
    data = file.read(MAX_TRACE + 1)
    return data + file.read(MAX_CAPTURE - MAX_TRACE) if is_capture(data) else data


def judge(facts: Facts, profile: Profile, settings: Settings) -> list[Finding]:
    """The verdicts about every INVITE that begins a call."""
    found: list[Finding] = []
    for note in facts.of(Note, "message"):
        if note.topic == TOPIC:
            found += _judge_file(note, profile, settings)
    if not found and facts.measured("message") and settings.message is not None:
        found.append(_unread("not_read", "The file was not read before the run ended.", (), "Run it again."))
    return found


def _judge_file(note: Note, profile: Profile, settings: Settings) -> list[Finding]:
    path, text = str(note.values.get("path")), note.values.get("text")
    if not isinstance(text, str):
        why = note.values.get("detail") or note.values.get("failure")
        return [_unread("unreadable", f"{path} could not be read: {why}.", (note.id,), "Name a file that can be read.")]
    trace = read_trace(text.encode("utf-8", "surrogateescape"))
    record = Record(
        path=path,
        fact=note.id,
        has_lines=not note.values.get("capture"),
        sizes=_sizes(note.values.get("sizes")),
        is_whole=not _left_out(note),
    )
    invites = read_invites(trace, record, profile, settings)
    if not invites:
        return [_no_invite(trace, note, path)]
    return _judge_invites(invites, trace, note, profile, settings)


def _left_out(note: Note) -> tuple[str, ...]:
    """What of the file was not read, or is not in it, a clause each."""
    told = note.values.get("left_out")
    if isinstance(told, list | tuple):
        return tuple(map(str, told))
    # As reports before had it.
    return ("it holds more than is read in one run",) if note.values.get("truncated") else ()


def _judge_invites(
    invites: tuple[Invite, ...], trace: Trace, note: Note, profile: Profile, settings: Settings
) -> list[Finding]:
    found: list[Finding] = []
    last = max(traced.line for traced in trace.messages)
    judged, others = split_hops(invites)
    chosen = judged[:MAX_INVITES]
    for invite in chosen:
        found.append(judge_framing(invite, profile))
        found += judge_headers(invite, profile, settings)
        found += judge_sdp(invite, profile, settings)
        answered = judge_answer(invite, profile, goes_on=last > invite.traced.line)
        found += [answered] if answered else []
    found += map(judge_other_hop, others[:MAX_INVITES])
    found += judge_outbound(chosen, profile, settings)
    path, lacking = note.values.get("path"), _left_out(note)
    said = []
    if len(judged) > len(chosen):
        said.append(f"{path} holds {len(judged)} calls, and the first {len(chosen)} were judged.")
    if lacking:
        said.append(f"Not all of {path} was read: {'; '.join(lacking)}. Messages may be missing from what was judged.")
    if said:
        found.append(
            _unread("left_out", " ".join(said), (note.id,), "Hand in the whole trace of single calls.", target="trace")
        )
    return found


def _sizes(stored: object) -> dict[int, Sizes]:
    """How long bodies were when the file was read, by the lines of their messages: a redacted text has other
    lengths."""
    found: dict[int, Sizes] = {}
    for line, kept in stored.items() if isinstance(stored, dict) else ():
        if not isinstance(kept, dict) or not str(line).isdecimal():
            continue
        body = kept.get("body")
        if isinstance(body, list | tuple) and body and all(isinstance(size, int) for size in body):
            found[int(line)] = Sizes(tuple(body), kept.get("whole"))
    return found


def _no_invite(trace: Trace, note: Note, path: str) -> Finding:
    fact = note.id
    dissected = next((line for line, why in trace.skipped if why == "dissected"), None)
    if dissected is not None:
        return _unread(
            "dissected",
            f"{path}:{dissected} is a message taken apart (tshark -V), which cannot be put together again.",
            (fact,),
            "Save the stream instead: `tshark -r FILE -q -z follow,tcp,ascii,0`.",
        )
    lacking = _left_out(note)
    partly = f" Not all of it was read: {'; '.join(lacking)}." if lacking else ""
    if trace.messages:
        return _unread(
            "no_invite",
            f"{path} holds {len(trace.messages)} SIP messages, and no INVITE that begins a call.{partly}",
            (fact,),
            "Hand in a trace that begins before the call does.",
        )
    broken = f" What begins at line {trace.skipped[0][0]} could not be read." if trace.skipped else ""
    return _unread(
        "no_message",
        f"No SIP message was found in {path}.{broken}{partly}",
        (fact,),
        "Hand in SIP messages as text, unedited.",
    )


def _unread(reason: str, summary: str, facts: tuple[str, ...], settle_by: str, target: str | None = None) -> Finding:
    return Finding(
        id=framing.ID,
        target=target,
        status=Status.UNKNOWN,
        reason=reason,
        summary=summary,
        fault_domain=FaultDomain.UNDETERMINED,
        confidence=Confidence.POSSIBLE,
        settle_by=settle_by,
        facts=facts,
    )


CHECK = Check(
    name="message",
    title="reading the SIP messages",
    finding_ids=(framing.ID, headers.ID, sdp.ID, answers.ID, transport.ID, caller_id.ID),
    needs=(),
    measure=measure,
    judge=judge,
)
