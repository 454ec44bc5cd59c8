"""Profiles as they may stand in a report: without what a URL of one's own service may carry besides its address."""

from __future__ import annotations

import re

import msgspec

from vsipcheck.model import Profile

HIDDEN = "..."
# A path segment that no person chose: long, or with digits in it where words have none.
_TOKEN = re.compile(r"(?=[^/]*\d)[^/]{10,}|[^/]{20,}")


def without_secrets(profile: Profile) -> Profile:
    """The profile with the URLs that are fetched cut down: no user, no values of a query, no token in a path."""
    services = tuple(msgspec.structs.replace(service, url=_harmless(service.url)) for service in profile.echo_services)
    return msgspec.structs.replace(profile, echo_services=services)


def _harmless(url: str) -> str:
    address, hash_sign, _ = url.partition("#")
    address, question_mark, query = address.partition("?")
    scheme, slashes, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    path = "/".join(HIDDEN if _TOKEN.fullmatch(segment) else segment for segment in path.split("/"))
    said = f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path}"
    said += f"?{_names(query)}" if question_mark else ""
    return said + (f"#{HIDDEN}" if hash_sign else "")


def _names(query: str) -> str:
    """`format=json&key=s3cr3t` as `format=...&key=...`: the names tell what it is, the values may be secrets."""
    return "&".join(f"{part.partition('=')[0]}={HIDDEN}" if "=" in part else HIDDEN for part in query.split("&"))
