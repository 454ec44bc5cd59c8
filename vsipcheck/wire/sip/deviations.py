"""The rules that a message can break, each by its code, and how far from the rules that is."""

from enum import StrEnum
from typing import NamedTuple

# A hostile message could break a rule in every line; evidence needs the first ones only.
_MAX_DEVIATIONS = 64
_MAX_DETAIL = 160


class Grade(StrEnum):
    """How far from the rules: an `error` breaks the grammar or a MUST; a `notice` is legal but odd, or RFC 2543's."""

    ERROR = "error"
    NOTICE = "notice"


# Every code that a Deviation can carry. Scripts and tests match them.
DEVIATIONS: dict[str, Grade] = {
    # Start line, RFC 3261 §7.1, §7.2, §25.1.
    "version_unknown": Grade.ERROR,
    "version_lower_case": Grade.NOTICE,  # §7.1: compared without case, but sent in upper case
    "start_line_whitespace": Grade.ERROR,  # not single SPs, or SP at the end
    "request_uri_whitespace": Grade.ERROR,
    "request_uri_bracketed": Grade.ERROR,
    "request_uri_headers": Grade.ERROR,  # §19.1.1: no headers part in a Request-URI
    "status_out_of_range": Grade.ERROR,  # three digits, classes 1 to 6
    "status_line_short": Grade.NOTICE,  # no SP after the code; the reason may be empty, the SP may not be left out
    # Lines and octets, RFC 3261 §7, §7.3.1, §25.1.
    "bare_lf": Grade.ERROR,
    "bare_cr": Grade.ERROR,
    "nul_bytes": Grade.ERROR,
    "control_characters": Grade.ERROR,
    "not_utf8": Grade.ERROR,
    "space_before_colon": Grade.NOTICE,  # HCOLON allows it, §7.3.1 asks to avoid it
    "header_without_colon": Grade.ERROR,
    "header_name_malformed": Grade.ERROR,
    "head_unterminated": Grade.ERROR,  # no empty line after the header fields
    # Header fields, RFC 3261 §8.1.1, §20.
    "header_missing": Grade.ERROR,
    "header_repeated": Grade.ERROR,
    "via_malformed": Grade.ERROR,
    "response_via_count": Grade.NOTICE,  # §8.1.3.3: meant for somebody else, when it reaches a client
    "branch_missing": Grade.NOTICE,  # RFC 2543
    "branch_without_cookie": Grade.NOTICE,  # RFC 2543
    "branch_empty": Grade.ERROR,  # the cookie and nothing else
    "rport_malformed": Grade.ERROR,  # RFC 3581 §3
    "name_addr_malformed": Grade.ERROR,
    "name_addr_needed": Grade.ERROR,  # §20: a URI with , or ? must stand in <>
    "display_name_malformed": Grade.ERROR,
    "quoted_string_unterminated": Grade.ERROR,
    "uri_whitespace": Grade.ERROR,
    "uri_malformed": Grade.ERROR,
    "from_tag_missing": Grade.NOTICE,  # RFC 2543
    "to_tag_missing": Grade.NOTICE,  # RFC 2543; a 100 may leave it out
    "call_id_malformed": Grade.ERROR,
    "cseq_malformed": Grade.ERROR,
    "cseq_out_of_range": Grade.ERROR,  # §8.1.1.5: below 2**31
    "cseq_method_mismatch": Grade.ERROR,
    "max_forwards_missing": Grade.NOTICE,  # RFC 2543
    "max_forwards_out_of_range": Grade.ERROR,  # §20.22: 0 to 255
    "delta_seconds_out_of_range": Grade.ERROR,  # §20.19: 0 to 2**32 - 1
    "date_malformed": Grade.ERROR,  # §20.17: RFC 1123, and GMT only
    "warning_malformed": Grade.ERROR,  # §20.43: three digits
    # Framing, RFC 3261 §18.3, §20.14.
    "content_length_missing": Grade.ERROR,  # on a stream only
    "content_length_malformed": Grade.ERROR,
    "content_length_negative": Grade.ERROR,
    "content_length_disagrees": Grade.ERROR,
    "content_length_repeated": Grade.NOTICE,  # more than once, and the same each time
    "body_truncated": Grade.ERROR,
    "trailing_bytes": Grade.NOTICE,  # §18.3: after the body of a datagram, to be ignored
}


class Deviation(NamedTuple):
    """One rule that a message breaks. `detail` quotes the peer: escape it before a person sees it."""

    code: str
    detail: str

    @property
    def grade(self) -> Grade:
        """How far from the rules this is."""
        return DEVIATIONS[self.code]


class Deviations:
    """Collects deviations in order, each once, up to a cap."""

    def __init__(self) -> None:
        self.found: list[Deviation] = []

    def add(self, code: str, detail: str) -> None:
        deviation = Deviation(code, detail[:_MAX_DETAIL])
        if len(self.found) < _MAX_DEVIATIONS and deviation not in self.found:
            self.found.append(deviation)
