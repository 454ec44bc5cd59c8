"""Which way an INVITE goes: to the provider, or from there. Pure."""

from __future__ import annotations

from typing import Literal, NamedTuple

from vsipcheck.checks.message.places import quoted, unreachable, uri_in, values_in
from vsipcheck.model import Profile, Settings
from vsipcheck.wire.sip.message import SipMessage
from vsipcheck.wire.sip.uri import SipUri
from vsipcheck.wire.sip.values import Via
from vsipcheck.wire.trace import TracedMessage

Direction = Literal["from_provider", "to_provider"]


class Way(NamedTuple):
    """Which way an INVITE goes, None where nothing tells it, and why. `is_elsewhere`: it is surely none of the trunk's
    own, but goes between hosts of the customer's, say."""

    direction: Direction | None
    told_by: str
    is_elsewhere: bool = False


class Provider:
    """What is the provider's and what is the customer's own, as far as the profile and the settings say."""

    def __init__(self, profile: Profile, settings: Settings) -> None:
        names = [pop.fqdn for pop in profile.signalling.pops]
        # pstn.in2.exotel.com -> exotel.com
        self.domains = {".".join(name.split(".")[-2:]) for name in names if not name[-1].isdigit() and "." in name}
        self.addresses = {address for pop in profile.signalling.pops for address in pop.addresses}
        self.addresses |= {media.address for media in profile.media.addresses} | set(names)
        self.own = {address for address in (settings.public_address, settings.expect_ip) if address}
        ours = {row.name.lower() for row in profile.headers if row.direction == "to_provider"}
        self.marks = {
            row.name
            for row in profile.headers
            if row.direction == "from_provider" and row.name.lower().startswith("x-") and row.name.lower() not in ours
        }
        self.signalling = profile.signalling

    def has(self, host: str | None) -> bool:
        """Whether a host is the provider's: one of its addresses, or a name in its domain."""
        host = (host or "").lower().rstrip(".")
        return host in self.addresses or any(host == each or host.endswith(f".{each}") for each in self.domains)

    def direction_of(self, traced: TracedMessage, uri: SipUri | None) -> Way:
        """Which way an INVITE goes, and what tells. The strongest sign decides. The account's domain in From stands in
        either direction; without it, your own address alone tells nothing, since phones, other trunks and scanners use
        that as well."""
        if (traced.message.header("User-Agent") or "").startswith("vsipcheck/"):
            return Way(None, "it is a test call of vsipcheck, made to look like the provider's", is_elsewhere=True)
        source = traced.told.source[0] if traced.told.source else None
        target, port = traced.told.destination or (None, None)
        host = uri.host if uri else None
        via = traced.message.top_via
        mark = next((name for name in sorted(self.marks) if traced.message.header(name) is not None), None)
        asked = route_of(traced.message)
        routes = [found for header in traced.message.headers_named("Record-Route") if (found := uri_in(header.value))]
        route = next((each.host for each in routes if self.has(each.host)), None)
        sent_by = via.host if via else None
        trunk, back = self.signalling.port, self.signalling.in_dialog_port
        via_port = via.port if via else None
        # The trunk's port counts where the provider can be, and does not stand at both ends: a PBX may have the same.
        is_single = (traced.told.source[1] if traced.told.source else via_port) != trunk
        dialled = is_single and uri is not None and uri.port == trunk and not unreachable(host) and host not in self.own
        sent_there = is_single and port == trunk and target not in self.own
        caller = uri_in(traced.message.header("From"))
        own = self.own if caller is not None and self.has(caller.host) else set()
        signs: tuple[tuple[bool, Direction, str], ...] = (
            (self.has(target), "to_provider", f"it was sent to {quoted(target)}"),
            (self.has(source), "from_provider", f"it came from {quoted(source)}"),
            (self.has(host), "to_provider", f"its Request-URI names {quoted(host)}"),
            (asked is not None and self.has(asked.host), "to_provider", "its Route names the provider"),
            (mark is not None, "from_provider", f"it carries {mark}"),
            (target in own, "from_provider", f"it was sent to your public address {quoted(target)}"),
            (source in own, "to_provider", f"it came from your public address {quoted(source)}"),
            (route is not None, "from_provider", f"its Record-Route names {quoted(route)}"),
            (self.has(sent_by), "from_provider", f"its Via names {quoted(sent_by)}"),
            (host in own, "from_provider", f"its Request-URI names your public address {quoted(host)}"),
            (sent_by in own, "to_provider", f"its Via names your public address {quoted(sent_by)}"),
            (back is not None and via_port == back, "from_provider", f"its Via has port {back}, as the provider's do"),
            (sent_there, "to_provider", f"it was sent to port {trunk}, the trunk's"),
            (dialled, "to_provider", f"its Request-URI has port {trunk}, the trunk's"),
        )
        direction, why = next(((each, why) for holds, each, why in signs if holds), (None, ""))
        ends = _ends(traced, uri)
        # Between hosts of your own network, or within one of them.
        stays = bool(ends) and (all(map(unreachable, ends)) or ends[1:] == ends[:1])
        if direction == "to_provider" and (unreachable(target) or stays):
            return Way(None, f"it was sent to {quoted(target)}, a hop inside your own network", is_elsewhere=stays)
        if direction is None and stays:
            hosts = ", ".join(map(quoted, ends))
            why = f"nothing in it names the provider, and it stays inside your own network ({hosts})"
        elif direction is None:
            why = "neither its Request-URI nor its header fields or addresses name the provider"
            if self.own & {source, target, host, sent_by}:
                why += ", and yours stands in calls of other trunks and phones as well"
        return Way(direction, why, is_elsewhere=direction is None and stays)

    def is_relayed(self, message: SipMessage) -> bool:
        """Whether the header fields of an INVITE from the provider show that another host sent it on: it has a private
        address, or has put its Via upon one of the provider's."""
        top = message.top_via
        if top is None or unreachable(top.host):
            return top is not None
        return not self._is_theirs(top) and any(map(self._is_theirs, message.vias))

    def _is_theirs(self, via: Via) -> bool:
        return self.has(via.host) or (via.port is not None and via.port == self.signalling.in_dialog_port)


def _ends(traced: TracedMessage, uri: SipUri | None) -> list[str]:
    """The hosts between which a request goes: what the trace tells of them, else what the request itself names."""
    told, via = traced.told, traced.message.top_via
    if told.source or told.destination:
        return [end[0] for end in (told.source, told.destination) if end]
    return [via.host, uri.host] if via and uri and uri.host else []


def route_of(message: SipMessage) -> SipUri | None:
    """Where a request goes before its Request-URI: its first Route, if that is loose. RFC 3261 §16.12.1."""
    first = next((uri for value in values_in(message, "Route") if (uri := uri_in(value)) is not None), None)
    return first if first is not None and is_loose(first) else None


def is_loose(uri: SipUri) -> bool:
    """Whether a URI of Route or Record-Route has lr."""
    return any(name.lower() == "lr" for name, _ in uri.params)
