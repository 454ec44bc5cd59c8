"""Ready configurations of PBXs for the account, made of the profile's values."""

from __future__ import annotations

from vsipcheck.model import Profile

SAMPLES: tuple[str, ...] = ("asterisk-pjsip", "asterisk-chan-sip", "freeswitch")


def sample(
    kind: str,
    profile: Profile,
    *,
    account_sid: str | None = None,
    public_ip: str | None = None,
    caller_id: str | None = None,
) -> str:
    """One file that the configuration's own lint passes; what belongs in other files stands in it as comments.

    `asterisk-pjsip` is a pjsip.conf, `asterisk-chan-sip` a sip.conf, `freeswitch` a SIP profile with its gateways and
    access list in one document. What is not given is a placeholder that the lint points at. Raises KeyError for a kind
    that there is none of.
    """
    raise KeyError(kind)
