"""Whether a response answers a request, and what of it came back altered. RFC 3261 §17.1.3."""

from ipaddress import ip_address
from typing import NamedTuple

from vsipcheck.wire.sip.message import SipMessage, SipRequest, SipResponse
from vsipcheck.wire.sip.values import Via


class Mismatch(NamedTuple):
    """One value that a response had to return as the request gave it, and did not: `branch`, `sent_by`, `call_id`,
    `cseq_number`, `cseq_method` or `from_tag`. None is absent or unreadable."""

    field: str
    sent: str | None
    received: str | None


def match_response(request: SipRequest, response: SipResponse) -> tuple[Mismatch, ...]:
    """What came back altered of the values by which a response is matched; empty when it answers this request. Values
    are compared, not their writing: white space, compact forms, letter case of hosts and a default port left out do
    not count. RFC 3261 §17.1.3, §8.2.6.2."""
    sent, received = _identity(request), _identity(response)
    return tuple(
        Mismatch(field, sent[field][1], received[field][1]) for field in sent if sent[field][0] != received[field][0]
    )


def _identity(message: SipMessage) -> dict[str, tuple[object, str | None]]:
    """For each matched field what is compared, and how it is told."""
    via, cseq = message.top_via, message.cseq
    branch = via.branch if via else None
    return {
        "branch": (branch, branch),
        "sent_by": (_comparable_sent_by(via), via.sent_by if via else None),
        "call_id": (message.call_id, message.call_id),
        "cseq_number": (cseq.number if cseq else None, str(cseq.number) if cseq else None),
        "cseq_method": (cseq.method if cseq else None, cseq.method if cseq else None),
        "from_tag": (message.from_tag, message.from_tag),
    }


def _comparable_sent_by(via: Via | None) -> tuple[str, int] | None:
    if via is None:
        return None
    try:
        host = str(ip_address(via.host))
    except ValueError:
        host = via.host.lower()
    # RFC 3261 §18.1.1, §19.1.2: the default port of the transport.
    default_port = 5061 if via.transport.upper() in ("TLS", "TLS-SCTP", "WSS") else 5060
    return host, default_port if via.port is None else via.port
