"""The syntax of host names and addresses in a profile."""

from __future__ import annotations

import ipaddress
import re

# RFC 1123 §2.1: letters, digits and hyphens; 63 octets a label and 253 a name. Names outside ASCII are written as
# their A-labels (xn--).
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")

# A range that holds the ports a socket can be sent to.
FIRST_PORT, LAST_PORT = 1, 65535
PORT = f"a port from {FIRST_PORT} to {LAST_PORT}"
HOST_NAME = "a host name in lower case (letters, digits, hyphens; no dot at its end)"
ADDRESS = "an IP address"


def is_port(value: int) -> bool:
    return FIRST_PORT <= value <= LAST_PORT


def is_address(text: str) -> bool:
    """True for an IPv4 or IPv6 address in its shortest form, without a zone: the form that findings are named after."""
    try:
        return str(ipaddress.ip_address(text)) == text and "%" not in text
    except ValueError:
        return False


def is_host_name(text: str) -> bool:
    """True for a name of RFC 1123 in lower case. What ends in a number is a mistyped address, never a name."""
    labels = text.split(".")
    return (
        len(text) <= 253
        and text == text.lower()
        and all(_LABEL.fullmatch(label) for label in labels)
        and not labels[-1].isdigit()
    )


def canonical_host(text: str) -> str:
    """What findings are named after: a name in lower case without a dot at its end, an address at its shortest."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return text.lower().removesuffix(".")
