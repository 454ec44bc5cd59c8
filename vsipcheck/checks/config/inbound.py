"""Where calls from the provider come in, and where in the dialplan they land."""

from __future__ import annotations

from vsipcheck.checks.config.files import Dialect
from vsipcheck.checks.config.patch import Edit
from vsipcheck.checks.config.trunk import Setting, Trunk, as_own, split_host
from vsipcheck.checks.config.verdict import Verdict, World, not_read
from vsipcheck.model import Confidence, Status
from vsipcheck.wire.asterisk import AsteriskConfig, Place, Section


def judge_listener(trunk: Trunk, world: World) -> Verdict:
    listening = trunk.listening
    place = listening.switch.place or trunk.place
    if listening.enabled is None:
        return Verdict(
            Status.UNKNOWN,
            "not_read",
            "What decides whether the PBX serves TCP was not among the files.",
            settle_by="Give the file with the transports (pjsip.conf), or the SIP profile of the gateway; or ask the "
            "PBX itself: `vsipcheck pbx HOST`.",
            place=place,
        )
    if not listening.enabled:
        edits: tuple[Edit, ...] = ()
        if listening.home is not None:
            match trunk.dialect:
                case Dialect.CHAN_SIP:
                    values, over = [("tcpenable", "yes")], [as_own(listening.switch)]
                    port = world.profile.signalling.customer_port
                    if port is not None and port not in [listener.port for listener in listening.listeners]:
                        bind = listening.listeners[0].setting
                        values.append(("tcpbindaddr", f"0.0.0.0:{port}"))
                        over.append(as_own(bind) if bind.key == "tcpbindaddr" else None)
                    edits = listening.home.write(*values, over=over)
                case Dialect.PJSIP:
                    port = world.profile.signalling.customer_port or 5060
                    edits = (listening.home.insert("", *listening.lines, f"bind = 0.0.0.0:{port}"),)
                case _:
                    value = "transport=udp,tcp" if listening.switch.key == "bind-params" else "false"
                    edits = listening.home.write((listening.switch.key, value), over=(listening.switch,))
        also = " Asterisk then falls back to UDP for its own calls, too." if trunk.dialect is Dialect.CHAN_SIP else ""
        return Verdict(
            Status.FAIL,
            "tcp_disabled",
            f"The PBX does not listen on TCP ({listening.switch}), and the provider calls over TCP alone.{also}",
            "Have the PBX serve SIP over TCP.",
            place=place,
            edits=edits,
        )
    wanted = world.profile.signalling.customer_port
    ports = [listener.port for listener in listening.listeners]
    if wanted is not None and wanted not in ports:
        listener = listening.listeners[0]
        return Verdict(
            Status.WARN,
            "other_port",
            f"The PBX listens on TCP port {' and '.join(map(str, ports))}; the provider's sample INVITE goes to port "
            f"{wanted} of the customer.",
            f"Have the provider call port {ports[0]}, or listen on {wanted}, or forward that port in the router.",
            place=listener.setting.place or place,
            edits=_port_edits(trunk, listener.setting, wanted),
            confidence=Confidence.POSSIBLE,
        )
    place = listening.listeners[0].setting.place or place if listening.listeners else place
    return Verdict(
        Status.PASS, "serves_tcp", f"The PBX serves TCP on port {' and '.join(map(str, ports))}.", place=place
    )


def _port_edits(trunk: Trunk, setting: Setting, port: int) -> tuple[Edit, ...]:
    home = trunk.listening.home
    if home is None:
        return ()
    if setting.key in ("bind", "tcpbindaddr", "bindaddr"):
        host = split_host(setting.value or "")[0] or "0.0.0.0"
        key = "bind" if setting.key == "bind" else "tcpbindaddr"
        over = setting if setting.key in ("bind", "tcpbindaddr") else None
        return home.write((key, f"[{host}]:{port}" if ":" in host else f"{host}:{port}"), over=(as_own(over),))
    if setting.key in ("bindport", "port"):
        return home.write(("tcpbindaddr", f"0.0.0.0:{port}"))
    if setting.key == "sip-port":
        return home.write(("sip-port", str(port)), over=(setting,))
    return ()


def judge_context(trunk: Trunk, world: World) -> Verdict:
    setting = trunk.context
    place = setting.place or trunk.place
    if setting.value is None:
        return not_read("Where calls from the provider land was", trunk.settings_unread, place)
    if trunk.kind is not None:
        kind = (trunk.kind.value or "").lower()
        if kind == "user" or not trunk.kind.written:
            told = (
                "has no type" if not trunk.kind.written else "is a user, which calls Asterisk and is not called by it"
            )
            return Verdict(
                Status.FAIL,
                "no_peer",
                f"[{trunk.name}] {told}: it is no trunk to call out by.",
                "Set type = peer.",
                place=trunk.kind.place or trunk.place,
                edits=trunk.home.write(("type", "peer"), over=(trunk.kind,)),
            )
    if trunk.dialect is not Dialect.FREESWITCH:
        plan = world.configuration.asterisk(Dialect.EXTENSIONS)
        if plan is not None:
            return _judge_dialplan(plan, setting, place, world)
    if not setting.written or setting.value.lower() == "default":
        return Verdict(
            Status.WARN,
            "default_context",
            f"{setting}: calls from outside land where the PBX's own phones do, and may call out again.",
            "Give the trunk a context of its own, with what outsiders may reach.",
            place=place,
            confidence=Confidence.POSSIBLE,
        )
    told = f"{setting}: that is where calls from the provider land."
    if trunk.dialect is not Dialect.FREESWITCH:
        told += " What stands there was not looked at: extensions.conf was not given."
    return Verdict(Status.PASS, "own_context", told, place=place)


def _judge_dialplan(plan: AsteriskConfig, setting: Setting, place: Place, world: World) -> Verdict:
    name = setting.value or "default"
    context = plan.section(name)
    path = world.configuration.of(Dialect.EXTENSIONS)[0].path
    if context is None:
        return Verdict(
            Status.FAIL,
            "no_such_context",
            f"{setting}, and {path} has no [{name}]: every call from the provider is answered 404.",
            f"Write [{name}], or name the context that takes calls from outside.",
            place=place,
            confidence=Confidence.PROVEN if not plan.deviations else Confidence.LIKELY,
        )
    patterns, whole = _patterns(plan, context)
    if any(_takes_plus(pattern) for pattern in patterns):
        return Verdict(
            Status.PASS,
            "takes_calls",
            f"{setting}: [{name}] takes numbers that begin with +, as the provider sends them.",
            place=place,
        )
    if not whole:
        return Verdict(
            Status.UNKNOWN,
            "dialplan_elsewhere",
            f"{setting}: whether [{name}] takes the provider's numbers was not seen, since part of it is not in "
            f"{path}.",
            settle_by="`dialplan show +91XXXXXXXXXX@" + name + "` on Asterisk's console says.",
            place=place,
        )
    return Verdict(
        Status.FAIL,
        "takes_no_plus",
        f"{setting}: the provider calls numbers like +91XXXXXXXXXX, and nothing in [{name}] takes one that begins "
        "with +. _X. does not.",
        f"Add to [{name}] an extension for your Exophones, as in `exten => _+X.,1,…`.",
        place=context.place,
        confidence=Confidence.LIKELY,
    )


def _patterns(plan: AsteriskConfig, context: Section) -> tuple[list[str], bool]:
    """The extensions of a context with those it includes, and whether that is all of it."""
    found: list[str] = []
    whole = not any(str(deviation.fault) in ("exec", "missing_include") for deviation in plan.deviations)
    todo, seen = [context], {context.name.lower()}
    while todo:
        section = todo.pop()
        for variable in section.variables:
            key = variable.name.lower()
            if key == "exten":
                found.append(variable.value.partition(",")[0].strip())
            elif key in ("switch", "eswitch", "lswitch"):
                whole = False
            elif key == "include":
                other = variable.value.partition(",")[0].partition("|")[0].strip()
                if other.lower() in seen:
                    continue
                seen.add(other.lower())
                inner = plan.section(other)
                if inner is None:
                    whole = False
                else:
                    todo.append(inner)
    return found, whole


def _takes_plus(pattern: str) -> bool:
    """Whether an extension takes some number that begins with "+"."""
    pattern = pattern.partition("/")[0].replace('"', "")
    if "${" in pattern:
        return True  # a variable: it may
    if not pattern.startswith("_"):
        return pattern.startswith("+")
    body = pattern[1:].replace("-", "") if "[" not in pattern else pattern[1:]
    if body.startswith("["):
        return "+" in body.partition("]")[0]
    return body[:1] in ("+", ".", "!")
