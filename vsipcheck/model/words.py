"""The closed vocabularies of facts, findings and reports. An unknown word of a newer report reads as OTHER."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class _Word(StrEnum):
    """A closed set that tolerates the future: a word that this version does not know reads as `other`."""

    @classmethod
    def _missing_(cls, value: object) -> _Word | None:
        return cls.__members__.get("OTHER")


class Status(_Word):
    """The verdict of a finding or a checklist row. Nothing starts as PASS."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"  # could not be determined
    SKIP = "skip"  # not asked for, or not applicable here
    OTHER = "other"


class Failure(_Word):
    """How a piece of network work failed, mapped from exception types, errno and ICMP type/code, never from text."""

    # DNS
    NXDOMAIN = "nxdomain"
    NODATA = "nodata"
    SERVFAIL = "servfail"
    DNS_REFUSED = "dns_refused"
    DNS_ERROR = "dns_error"  # another rcode
    DNS_TIMEOUT = "dns_timeout"
    # reaching a host
    REFUSED = "refused"  # RST to our SYN
    RESET = "reset"  # RST later
    CONNECT_TIMEOUT = "connect_timeout"  # our own deadline passed while connecting
    KERNEL_TIMEOUT = "kernel_timeout"  # the kernel gave up: ETIMEDOUT
    HOST_UNREACHABLE = "host_unreachable"
    NET_UNREACHABLE = "net_unreachable"
    PORT_UNREACHABLE = "port_unreachable"
    PROTOCOL_UNREACHABLE = "protocol_unreachable"
    ADMIN_PROHIBITED = "admin_prohibited"
    TTL_EXCEEDED = "ttl_exceeded"
    MESSAGE_TOO_BIG = "message_too_big"
    NO_ROUTE = "no_route"  # this host has no route: said by our own kernel
    LOCAL_DENIED = "local_denied"  # EPERM/EACCES: this host's own firewall
    ADDRESS_UNAVAILABLE = "address_unavailable"  # the source address is not ours
    # talking to it
    NO_ANSWER = "no_answer"
    NOT_SIP = "not_sip"
    MALFORMED = "malformed"
    CLOSED_EARLY = "closed_early"  # FIN before a whole answer
    TOO_LARGE = "too_large"
    MISMATCH = "mismatch"  # an answer, but not to our question
    TLS_FAILED = "tls_failed"
    HTTP_STATUS = "http_status"
    BAD_BODY = "bad_body"
    # our side
    CANCELLED = "cancelled"  # the run's deadline or a signal
    NOT_SUPPORTED = "not_supported"  # the platform cannot do this
    LOCAL_ERROR = "local_error"  # any other error of this host: errno is in the fact
    OTHER = "other"


class FaultDomain(_Word):
    """The party that has to act."""

    HOST = "host"
    LOCAL_NETWORK = "local_network"
    ISP = "isp"
    PROVIDER = "provider"
    PBX = "pbx"
    UNDETERMINED = "undetermined"
    OTHER = "other"


# From the reader outwards: the order in which parties are told what to do.
PARTIES = (
    FaultDomain.HOST,
    FaultDomain.LOCAL_NETWORK,
    FaultDomain.PBX,
    FaultDomain.ISP,
    FaultDomain.PROVIDER,
    FaultDomain.UNDETERMINED,
    FaultDomain.OTHER,
)


class Confidence(_Word):
    """How well a verdict is founded."""

    PROVEN = "proven"  # a direct observation
    LIKELY = "likely"  # two independent indirect ones agree
    POSSIBLE = "possible"  # one indirect one
    OTHER = "other"


class Stage(_Word):
    """The guide's three stages."""

    BEFORE = "before"
    DURING = "during"
    AFTER = "after"
    OTHER = "other"


class Overall(_Word):
    """What the checklist's gating rows say together."""

    READY = "ready"
    READY_WITH_WARNINGS = "ready_with_warnings"
    NOT_READY = "not_ready"
    NOT_PROVEN = "not_proven"
    OTHER = "other"


class Family(_Word):
    """Which IP versions a run may use."""

    ANY = "any"
    IPV4 = "ipv4"
    IPV6 = "ipv6"
    OTHER = "other"


class ExitCode(IntEnum):
    """What the process tells its caller."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_PROVEN = 3
    OUR_ERROR = 4
    LOCKED = 75
    INTERRUPTED = 130
