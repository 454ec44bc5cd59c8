"""As whom the PBX goes to the provider: by no password, with its account's domain and its own numbers."""

from __future__ import annotations

from vsipcheck.checks.config.files import Dialect
from vsipcheck.checks.config.patch import Edit, merged
from vsipcheck.checks.config.trunk import Setting, Trunk, erase, is_placeholder
from vsipcheck.checks.config.verdict import Verdict, World
from vsipcheck.model import Confidence, Status


def judge_registration(trunk: Trunk, world: World) -> Verdict:
    wrong = (*trunk.registers, *trunk.challenges, *trunk.answers)
    edits = (
        *trunk.registration_edits,
        *erase(*(setting for setting in (*trunk.challenges, *trunk.answers) if setting.own)),
    )
    remedy = "Take out " + ", ".join(_named(setting) for setting in wrong) + ": the provider knows you by your address."
    if trunk.registers:
        first = trunk.registers[0]
        stops = ""
        if trunk.dialect is Dialect.FREESWITCH:
            stops = " FreeSWITCH takes a gateway that cannot register for one that is down, and sends no call there."
            remedy = "Set register to false."
            if trunk.answers:
                remedy = "Set register to false, and take out the password."
        return Verdict(
            Status.FAIL,
            "registers",
            f"The PBX registers with the provider ({_quoted(first, trunk)}). The provider knows you by your address "
            f"and supports no registration.{stops}",
            remedy,
            place=first.place or trunk.place,
            edits=edits,
        )
    if trunk.challenges:
        first = trunk.challenges[0]
        return Verdict(
            Status.FAIL,
            "asks_for_password",
            f"The PBX asks for a password ({first.key}) when the provider calls, and the provider has none: its calls "
            "are answered 401 and lost.",
            remedy,
            place=first.place or trunk.place,
            edits=edits,
        )
    if trunk.answers:
        first = trunk.answers[0]
        return Verdict(
            Status.WARN,
            "has_credentials",
            f"The trunk has credentials ({first.key}). The provider asks for none, and its guide names them as a cause "
            "of 403.",
            remedy,
            place=first.place or trunk.place,
            edits=edits,
            confidence=Confidence.LIKELY,
        )
    return Verdict(
        Status.PASS,
        "static_peer",
        "The trunk neither registers nor has credentials.",
        place=trunk.place,
    )


def _named(setting: Setting) -> str:
    where = f" at {setting.place}" if setting.place is not None else ""
    return f"{setting.key}{where}"


def _quoted(setting: Setting, trunk: Trunk) -> str:
    """Without what a password may stand in."""
    return setting.key if trunk.dialect is Dialect.CHAN_SIP else str(setting)


def judge_domain(trunk: Trunk, world: World) -> Verdict:
    pattern = world.profile.signalling.domain_pattern
    sid = world.settings.account_sid
    wanted = pattern.replace("{account_sid}", sid or "<your account's id>")
    setting = trunk.domain
    value = (setting.value or "").strip()
    place = setting.place or trunk.place
    edits = trunk.home.write((setting.key, wanted), over=(setting,)) if sid else ()
    remedy = f"Set {setting.key} to {wanted}."
    why = "The guide names a wrong domain in From as a cause of 403."
    if not value:
        instead = "the name of the proxy" if trunk.dialect is Dialect.FREESWITCH else "an address of the PBX"
        return Verdict(
            Status.FAIL,
            "no_domain",
            f"No {setting.key} is set: From carries {instead} instead of the account's domain. {why}",
            remedy,
            place=place,
            edits=edits,
            confidence=Confidence.LIKELY,
        )
    if is_placeholder(value):
        return Verdict(
            Status.FAIL,
            "placeholder",
            f"{setting} still holds the guide's placeholder. {why}",
            remedy,
            place=place,
            edits=edits,
        )
    start, _, end = pattern.lower().partition("{account_sid}")
    fits = value.lower().startswith(start) and value.lower().endswith(end) and len(value) > len(start) + len(end)
    if sid and value.lower() != wanted.lower():
        return Verdict(
            Status.FAIL,
            "other_domain",
            f"{setting}; the account's domain is {wanted}. {why}",
            remedy,
            place=place,
            edits=edits,
            confidence=Confidence.LIKELY,
        )
    if not fits:
        return Verdict(
            Status.FAIL,
            "other_domain",
            f"{setting}; the guide has {pattern.replace('{account_sid}', '<your account id>')}. {why}",
            remedy,
            place=place,
            edits=edits,
            confidence=Confidence.LIKELY,
        )
    if not sid:
        return Verdict(
            Status.PASS,
            "form_fits",
            f"{setting} has the form of the guide's. Whose account it is was not compared: --account-sid names yours.",
            place=place,
        )
    return Verdict(Status.PASS, "own_domain", f"{setting} is the account's domain.", place=place)


def judge_caller_id(trunk: Trunk, world: World) -> Verdict:
    user = trunk.user
    place = user.place or trunk.place
    off = [switch.setting for switch in (trunk.sends_identity, trunk.trusts_identity) if switch.on is False]
    identity = trunk.home.write(*((setting.key, "yes") for setting in off), over=off) if off else ()
    if user.value is not None and (is_placeholder(user.value) or not _is_number(user.value)):
        edits: tuple[Edit, ...] = ()
        remedy = (
            f"Take out {user.key}, so that From carries the caller ID of the call, or set it to one of your Exophones."
        )
        if trunk.dialect is Dialect.FREESWITCH:
            edits = trunk.home.write(("caller-id-in-from", "true"), over=(trunk.in_from,))
            remedy = "Set caller-id-in-from to true, and an Exophone as the caller ID of outbound calls."
        elif user.own:
            edits = merged((*erase(user), *identity))
        return Verdict(
            Status.FAIL,
            "user_is_no_number",
            f"From carries {user.value!r} as its number on every call ({user}). It has to be one of your Exophones, or "
            "the call is rejected.",
            remedy,
            place=place,
            edits=edits,
        )
    exophones = {_digits(number) for number in world.settings.exophones}
    if user.value is not None and exophones and _digits(user.value) not in exophones:
        return Verdict(
            Status.FAIL,
            "not_authorised",
            f"{user} stands in From on every call, and is none of the numbers that were named as authorised.",
            f"Set {user.key} to one of {', '.join(world.settings.exophones)}.",
            place=place,
        )
    fixed = f" From is {user.value} on every call." if user.value is not None else ""
    if trunk.dialect is Dialect.FREESWITCH:
        told = fixed or " The caller ID of the call stands in From."
        return Verdict(
            Status.PASS, "caller_id_in_from", f"{told.strip()} It has to be one of your Exophones.", place=place
        )
    if off:
        return Verdict(
            Status.WARN,
            "identity_not_exchanged",
            f"{' and '.join(str(setting) for setting in off)}; the guide's sample has both on. Without them the "
            f"caller is taken from From alone, both ways.{fixed}",
            f"Set {' and '.join(f'{setting.key} = yes' for setting in off)}.",
            place=off[0].place or trunk.place,
            edits=identity,
            confidence=Confidence.POSSIBLE,
        )
    return Verdict(
        Status.PASS,
        "identity_exchanged",
        f"{trunk.sends_identity.setting} and {trunk.trusts_identity.setting}: the caller is told both ways.{fixed}",
        place=trunk.sends_identity.setting.place or trunk.place,
    )


def _is_number(text: str) -> bool:
    return len(text) >= 3 and text.removeprefix("+").isdigit()


def _digits(number: str) -> str:
    return "".join(digit for digit in number if digit.isdigit())[-10:]
