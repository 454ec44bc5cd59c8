"""Single values of a profile, set for one run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from vsipcheck.model import MediaAddress, PoP, Profile, Source
from vsipcheck.profiles.error import ProfileError
from vsipcheck.profiles.names import ADDRESS, PORT, canonical_host, is_address, is_host_name, is_port

COMMAND_LINE = "command-line"  # the source that overridden values name
_REGION = "not given"


def override(
    profile: Profile, *, fqdns: Sequence[str] = (), port: int | None = None, media: Sequence[str] = ()
) -> Profile:
    """The profile with these values in place of its own; empty and None leave them alone. FQDNs may be IP addresses.

    What the profile already knows about a name or an address (its region, its id) stays. Raises ProfileError, whose key
    is the option that was wrong.
    """
    signalling, addresses = profile.signalling, profile.media.addresses
    if fqdns:
        hosts = [canonical_host(fqdn) for fqdn in fqdns]
        for given, host in zip(fqdns, hosts, strict=True):
            if not (is_host_name(host) or is_address(host)):
                raise ProfileError(None, "--fqdn", f"a host name or {ADDRESS}", f"found {given!r}")
        known_pops = {pop.fqdn: pop for pop in signalling.pops}
        pops = tuple(known_pops.get(host) or _new_pop(host) for host in dict.fromkeys(hosts))
        signalling = msgspec.structs.replace(signalling, pops=pops)
    if port is not None:
        if not is_port(port):
            raise ProfileError(None, "--port", PORT, f"found {port}")
        signalling = msgspec.structs.replace(signalling, port=port)
    if media:
        hosts = [canonical_host(address) for address in media]
        for given, host in zip(media, hosts, strict=True):
            if not is_address(host):
                raise ProfileError(None, "--media", ADDRESS, f"found {given!r}")
        known_addresses = {entry.address: entry for entry in addresses}
        addresses = tuple(known_addresses.get(host) or _new_address(host) for host in dict.fromkeys(hosts))
    changed = msgspec.structs.replace(
        profile, signalling=signalling, media=msgspec.structs.replace(profile.media, addresses=addresses)
    )
    if changed == profile:
        return profile
    today = datetime.now(UTC).date().isoformat()
    source = Source(title="Set for this run on the command line", dated=today, ours=True)
    return msgspec.structs.replace(changed, sources={**profile.sources, COMMAND_LINE: source})


def _new_pop(host: str) -> PoP:
    return PoP(id=host, region=_REGION, fqdn=host, source=COMMAND_LINE)


def _new_address(address: str) -> MediaAddress:
    return MediaAddress(address=address, region=_REGION, source=COMMAND_LINE)
