"""From what was typed to the settings, the profile and the outputs in effect, or to a line that says what is wrong."""

from __future__ import annotations

import errno
import os
import re
import stat

import msgspec

from vsipcheck.cli.options import Request, UsageError
from vsipcheck.model import Family, Profile, Settings
from vsipcheck.profiles.names import canonical_host, is_address, is_host_name, is_port

# Beyond these a run would no longer be polite, or no longer end. They are ours.
MAX_TIMEOUT_S = 600.0
MAX_DEADLINE_S = 86_400.0
MAX_OPTIONS = 100
MAX_CONNECTIONS = 20
MAX_PORTS = 1000
MAX_RATE = 100_000
MAX_LIFETIME_S = 3600.0
MAX_RING_S = 180.0
# What two test calls take beside their ringing.
CALL_S = 15.0
# What the questions after the longest idle time take, and what goes before them.
LIFETIME_MARGIN_S = 10.0

_SUFFIXES = {
    ".json": "json",
    ".txt": "terminal",
    ".html": "html",
    ".md": "markdown",
    ".xml": "junit",
    ".prom": "prometheus",
}
_DEADLINE_S = Settings(checks=()).deadline_s
_PREFIX = re.compile(r"([a-z][a-z0-9_-]+):(.*)", re.DOTALL)  # two characters at least: `c:\report` is a file


class Output(msgspec.Struct, frozen=True):
    """One place that the report goes to. `path` is None for stdout."""

    format: str
    path: str | None


def settings_for(request: Request, profile: Profile) -> Settings:
    """The settings in effect, but for the checks. `profile` is the one in effect. Raises UsageError."""
    _in_range("--timeout", request.timeout, MAX_TIMEOUT_S)
    if request.deadline is not None:
        _in_range("--deadline", request.deadline, MAX_DEADLINE_S)
    _counted("--options", request.options, MAX_OPTIONS)
    _counted("--connections", request.connections, MAX_CONNECTIONS)
    _counted("--ports", request.ports, MAX_PORTS)
    _counted("--rate", request.rate, MAX_RATE)
    _in_range("--lifetime-max", request.lifetime_max, MAX_LIFETIME_S)
    _in_range("--ring", request.ring, MAX_RING_S)
    if not 0 <= request.seed < 2**63:  # the report's readers may have 64-bit integers only
        raise UsageError(f"--seed: expected a number from 0 to {2**63 - 1}, found {request.seed}")
    if request.ipv4 and request.ipv6:
        raise UsageError("-4 and -6 exclude each other")
    family = Family.IPV4 if request.ipv4 else Family.IPV6 if request.ipv6 else Family.ANY
    return Settings(
        checks=(),
        timeout_s=request.timeout,
        deadline_s=_deadline_s(request, profile),
        family=family,
        source=_source(request.source, family),
        resolvers=tuple(dict.fromkeys(_resolver(text) for text in request.resolver)),
        expect_ip=None if request.expect_ip is None else _address("--expect-ip", request.expect_ip),
        primary=_primary(request.primary, profile),
        account_sid=_account_sid(request.account_sid, profile),
        options_count=request.options,
        options_connections=min(request.connections, request.options),
        size=request.size,
        ports_per_address=request.ports,
        seed=request.seed,
        sweep=request.sweep,
        rate=request.rate,
        pcp_map=request.pcp_map,
        lifetime=request.lifetime,
        lifetime_max_s=request.lifetime_max,
        path_target=_path_target(request.path_target, profile),
        pbx=_pbx(request, profile),
        invite=None if request.invite is None else _number("--invite", request.invite),
        caller=_number("--caller", request.caller),
        rtp=request.rtp,
        ring_s=request.ring,
        pbx_config=tuple(dict.fromkeys(map(_file, filter(None, (*request.pbx_config, *request.config_files))))),
        public_address=_public_address(request),
        message=_file(named) if (named := request.message_file or request.trace) else None,
        exophones=tuple(dict.fromkeys(_number("--exophone", number) for number in request.exophone)),
        strict=request.strict,
        allow_unknown=request.allow_unknown,
    )


def sweep_packets(profile: Profile) -> int:
    """How many packets a sweep sends: one to every media port of every address."""
    media = profile.media
    return len(media.addresses) * (media.last_port - media.first_port + 1)


def outputs_for(request: Request, formats: tuple[str, ...]) -> list[Output]:
    """Stdout first, then the files in the order given. Raises UsageError."""
    if request.quiet and request.verbose:
        raise UsageError("--quiet and --verbose exclude each other")
    chosen = request.format
    if chosen is not None and chosen not in formats:
        raise UsageError(f"--format: expected {_one_of(formats)}, found {chosen!r}")
    if request.json:
        if chosen not in (None, "json"):
            raise UsageError(f"--json and --format {chosen} exclude each other")
        chosen = "json"
    chosen = chosen or "terminal"
    return [Output(chosen, None), *(_output(text, chosen, formats) for text in request.output)]


def _output(text: str, chosen: str, formats: tuple[str, ...]) -> Output:
    format, path = chosen, text
    if prefix := _PREFIX.fullmatch(text):
        format, path = prefix[1], prefix[2]
        if format not in formats:
            raise UsageError(
                f"--output: expected {_one_of(formats)} before the colon, found {format!r} (a file: ./{text})"
            )
    else:
        format = next((known for suffix, known in _SUFFIXES.items() if text.endswith(suffix)), chosen)
    if not path or "\0" in path:
        raise UsageError(f"--output: expected a file name, found {text!r}")
    if path == "-":
        raise UsageError("--output: expected a file name, found '-' (--format chooses what stdout carries)")
    return Output(format, path)


def _deadline_s(request: Request, profile: Profile) -> float:
    if request.deadline is not None:
        return request.deadline
    sweeping_s = sweep_packets(profile) / request.rate if request.sweep else 0.0
    idle_s = request.lifetime_max + LIFETIME_MARGIN_S if request.lifetime else 0.0
    call_s = 2 * request.ring + CALL_S if request.invite is not None else 0.0
    return min(_DEADLINE_S + sweeping_s + idle_s + call_s, MAX_DEADLINE_S)


def _source(text: str | None, family: Family) -> str | None:
    if text is None:
        return None
    address, _, zone = text.partition("%")
    address = _address("--source", address)
    version = Family.IPV6 if ":" in address else Family.IPV4
    if family not in (Family.ANY, version):
        raise UsageError(f"--source: expected an address of the family that was asked for, found {text}")
    source = f"{address}%{zone}" if zone else address
    from vsipcheck.net.interfaces import validate_source

    why_not = validate_source(source)
    if why_not is not None:
        raise UsageError(f"--source: expected an address of this host, found {text} ({why_not})")
    return source


def _host_and_port(text: str) -> tuple[str, str | None]:
    """The parts of HOST, HOST:PORT, [HOST] or [HOST]:PORT, unchecked."""
    match = re.fullmatch(r"\[([^\]]*)\](?::(\d{1,5}))?|([^:]*):(\d{1,5})|(.*)", text, re.DOTALL | re.ASCII)
    return (match[1] or match[3] or match[5] or "", match[2] or match[4]) if match else ("", None)


def _pbx(request: Request, profile: Profile) -> str | None:
    """HOST:PORT of the PBX. What only a call needs is refused without one."""
    text = request.pbx_host or request.pbx
    if text is None:
        if request.invite is not None:
            raise UsageError("--invite: expected --pbx HOST[:PORT] as well")
    else:
        host, port = _host_and_port(text)
        host = canonical_host(host)
        if not (is_address(host) or is_host_name(host)):
            raise UsageError(f"expected the PBX as HOST, HOST:PORT or [ADDRESS]:PORT, found {text!r}")
        number = profile.signalling.customer_port if port is None else int(port)
        if number is None:
            raise UsageError(f"expected a port with the PBX, as in {host}:5060: profile {profile.name} names none")
        if not is_port(number):
            raise UsageError(f"expected a port of the PBX from 1 to 65535, found {port}")
        text = f"[{host}]:{number}" if ":" in host else f"{host}:{number}"
    if request.rtp and request.invite is None:
        raise UsageError("--rtp: expected --invite NUMBER as well: audio needs a call")
    return text


def _number(option: str, text: str) -> str:
    """A telephone number, an extension, or any user part that stands in a SIP URI as it is. RFC 3261 §25.1."""
    if not re.fullmatch(r"\+?[A-Za-z0-9_.*#~!-]{1,64}", text, re.ASCII):
        raise UsageError(f"{option}: expected a number as in +911234567890, found {text!r}")
    return text


def _file(path: str) -> str:
    """The path of a file that can be read, or `-`. What is not there is told before anything is sent."""
    if path == "-":
        return path
    try:
        readable = os.access(path, os.R_OK)
        directory = stat.S_ISDIR(os.stat(path).st_mode)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if directory or not readable:
        raise UsageError(f"{path}: {os.strerror(errno.EISDIR if directory else errno.EACCES)}")
    return path


def _public_address(request: Request) -> str | None:
    """The customer's public address, as given or as an earlier report measured it."""
    if request.public_ip is not None:
        if request.measured_by is not None:
            raise UsageError("--public-ip and --report exclude each other")
        return _address("--public-ip", request.public_ip)
    if request.measured_by is None:
        return None
    from vsipcheck.cli.stored import measured_address

    return measured_address(request.measured_by)


def _resolver(text: str) -> str:
    """ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT as `address`, `address:port` or `[address]:port`."""
    address, port = _host_and_port(text)
    canonical = canonical_host(address)
    if not is_address(canonical.partition("%")[0]):
        raise UsageError(f"--resolver: expected ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT, found {text!r}")
    if port is None:
        return canonical
    if not is_port(int(port)):
        raise UsageError(f"--resolver: expected a port from 1 to 65535, found {port}")
    return f"[{canonical}]:{int(port)}" if ":" in canonical else f"{canonical}:{int(port)}"


def _primary(text: str | None, profile: Profile) -> str | None:
    if text is None:
        return None
    known = [pop.fqdn for pop in profile.signalling.pops]
    primary = canonical_host(text)
    if primary not in known:
        raise UsageError(f"--primary: expected {_one_of(tuple(known))}, found {text!r}")
    return primary


def _path_target(text: str | None, profile: Profile) -> str | None:
    """An IP address, or a name of the profile: nobody else's way is walked by name."""
    if text is None:
        return None
    target = canonical_host(text)
    known = [pop.fqdn for pop in profile.signalling.pops]
    if not is_address(target) and target not in known:
        raise UsageError(f"TARGET: expected an IP address or {_one_of(tuple(known))}, found {text!r}")
    return target


def _account_sid(text: str | None, profile: Profile) -> str | None:
    if text is None:
        return None
    if not text or not is_host_name(profile.signalling.domain_pattern.replace("{account_sid}", text).lower()):
        raise UsageError(f"--account-sid: expected letters, digits and hyphens, found {text!r}")
    return text


def _address(option: str, text: str) -> str:
    address = canonical_host(text)
    if not is_address(address):
        raise UsageError(f"{option}: expected an IP address, found {text!r}")
    return address


def _in_range(option: str, value: float, largest: float) -> None:
    if not 0 < value <= largest:  # false for nan, too
        raise UsageError(f"{option}: expected seconds above 0, at most {largest:g}; found {value:g}")


def _counted(option: str, value: int, largest: int) -> None:
    if not 1 <= value <= largest:
        raise UsageError(f"{option}: expected a number from 1 to {largest}, found {value}")


def _one_of(words: tuple[str, ...]) -> str:
    return " or ".join(words)
