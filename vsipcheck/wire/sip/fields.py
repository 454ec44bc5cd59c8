"""What the header fields of a message break of the rules. RFC 3261 §8.1.1, §20."""

import re
from collections.abc import Iterable

from vsipcheck.wire.errors import WireError
from vsipcheck.wire.sip.deviations import Deviations
from vsipcheck.wire.sip.grammar import DIGITS, QUOTED, WHITESPACE, exceeds, find_param, split_at, without_comments
from vsipcheck.wire.sip.message import Header
from vsipcheck.wire.sip.start_line import RequestLine, StatusLine, check_version
from vsipcheck.wire.sip.uri import parse_uri
from vsipcheck.wire.sip.values import NameAddr, Via, parse_cseq, read_name_addr, read_via

# RFC 3261 §8.1.1.7: the branch of a client that follows RFC 3261 starts with this.
MAGIC_COOKIE = "z9hG4bK"
# RFC 3261 §7.3.1: only fields defined as lists may appear more than once. Content-Length has codes of its own.
_SINGLE = ("From", "To", "Call-ID", "CSeq", "Max-Forwards", "Date", "Expires", "Min-Expires", "Content-Type", "Subject")
# RFC 3261 §8.1.1 and §8.2.6.2.
_MANDATORY = ("Via", "From", "To", "Call-ID", "CSeq")
# RFC 3261 §25.1: SIP-date, which is RFC 1123's with GMT alone.
# Left to the cache of `re`, as these two are seldom needed and compiling costs start-up time.
_SIP_DATE = (
    r"(?i:Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{2} (?i:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [0-9]{4}"
    r" [0-9]{2}:[0-9]{2}:[0-9]{2} (?i:GMT)"
)
# RFC 3261 §25.1: warning-value starts with warn-code and warn-agent.
_WARN_CODE = r"[0-9]{3}[ \t]++[^ \t]"


def check_fields(start: RequestLine | StatusLine, headers: Iterable[Header], deviations: Deviations) -> None:
    """Adds what is wrong with the header fields that every message has, and with others that peers often break."""
    by_name: dict[str, list[str]] = {}
    for header in headers:
        by_name.setdefault(header.name, []).append(header.value)
    for name in _MANDATORY:
        if name not in by_name:
            deviations.add("header_missing", name)
    for name in _SINGLE:
        if len(by_name.get(name, ())) > 1:
            deviations.add("header_repeated", f"{name}: {' | '.join(by_name[name])}")
    _check_vias(start, by_name.get("Via", []), deviations)
    for name in ("From", "To"):
        for value in by_name.get(name, ()):
            address = _check_address(name, value, deviations)
            # RFC 3261 §8.1.1.3, §8.2.6.2.
            if address and not address.tag:
                if name == "From":
                    deviations.add("from_tag_missing", value)
                elif isinstance(start, StatusLine) and start.status != 100:
                    deviations.add("to_tag_missing", value)
    for name in ("Contact", "Route", "Record-Route"):
        for value in by_name.get(name, ()):
            for part in split_at(value, ","):
                # RFC 3261 §20.10: "*" in REGISTER. Route and Record-Route hold name-addr alone, §20.30, §20.34.
                if part == "*" and name == "Contact":
                    continue
                _check_address(name, part, deviations)
                if name != "Contact" and part and "<" not in part:
                    deviations.add("name_addr_needed", f"{name}: {part}")
    for value in by_name.get("Call-ID", ()):
        if not value or any(char in value for char in WHITESPACE):
            deviations.add("call_id_malformed", value)
    _check_cseq(start, by_name.get("CSeq", []), deviations)
    _check_scalars(by_name, deviations)
    if isinstance(start, RequestLine) and "Max-Forwards" not in by_name:
        deviations.add("max_forwards_missing", "Max-Forwards")


def _check_vias(start: RequestLine | StatusLine, values: Iterable[str], deviations: Deviations) -> None:
    count = 0
    for value in values:
        for part in split_at(without_comments(value), ","):
            try:
                via, problem = read_via(part)
            except WireError as error:
                deviations.add("via_malformed", str(error))
                continue
            if problem:
                deviations.add("via_malformed", f"{problem} in {part}")
            check_version(f"{via.protocol}/{via.version}", "Via", deviations)
            if count == 0:
                _check_branch(via, deviations)
            if via.has_rport and via.rport is None and find_param(via.params, "rport"):
                deviations.add("rport_malformed", part)
            count += 1
    if isinstance(start, StatusLine) and count > 1:
        deviations.add("response_via_count", str(count))


def _check_branch(via: Via, deviations: Deviations) -> None:
    # RFC 3261 §8.1.1.7; RFC 4475 §3.2.1.
    if via.branch is None:
        deviations.add("branch_missing", via.raw)
    elif via.branch.lower() == MAGIC_COOKIE.lower():
        deviations.add("branch_empty", via.raw)
    elif not via.branch.startswith(MAGIC_COOKIE):
        deviations.add("branch_without_cookie", via.raw)


def _check_address(name: str, value: str, deviations: Deviations) -> NameAddr | None:
    try:
        address, problems = read_name_addr(value)
    except WireError as error:
        unclosed = value.startswith('"') and not QUOTED.match(value)
        deviations.add("quoted_string_unterminated" if unclosed else "name_addr_malformed", f"{name}: {error}")
        return None
    for code, detail in problems:
        deviations.add(code, f"{name}: {detail}")
    try:
        parse_uri(address.uri)
    except WireError as error:
        if not any(code == "uri_whitespace" for code, _ in problems):
            deviations.add("uri_malformed", f"{name}: {error}")
    expires = find_param(address.params, "expires")
    if expires and DIGITS.fullmatch(expires) and exceeds(expires, 2**32 - 1):
        deviations.add("delta_seconds_out_of_range", f"{name}: expires={expires}")
    return address


def _check_cseq(start: RequestLine | StatusLine, values: Iterable[str], deviations: Deviations) -> None:
    for value in values:
        try:
            cseq = parse_cseq(value)
        except WireError:
            deviations.add("cseq_malformed", value)
            continue
        if cseq.number >= 2**31:
            deviations.add("cseq_out_of_range", value)
        # RFC 3261 §8.1.1.5; methods have case, §7.1.
        if isinstance(start, RequestLine) and cseq.method != start.method:
            deviations.add("cseq_method_mismatch", f"{start.method} request with CSeq {value}")


def _check_scalars(by_name: dict[str, list[str]], deviations: Deviations) -> None:
    for name, limit, code in (
        ("Max-Forwards", 255, "max_forwards_out_of_range"),
        ("Expires", 2**32 - 1, "delta_seconds_out_of_range"),
        ("Min-Expires", 2**32 - 1, "delta_seconds_out_of_range"),
        ("Retry-After", 2**32 - 1, "delta_seconds_out_of_range"),
    ):
        for value in by_name.get(name, ()):
            digits = DIGITS.match(value)
            if not digits or exceeds(digits[0], limit):
                deviations.add(code, f"{name}: {value}")
    for value in by_name.get("Date", ()):
        if not re.fullmatch(_SIP_DATE, value):
            deviations.add("date_malformed", value)
    for value in by_name.get("Warning", ()):
        if not all(re.match(_WARN_CODE, part) for part in split_at(value, ",")):
            deviations.add("warning_malformed", value)
