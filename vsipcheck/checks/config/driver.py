"""Which of Asterisk's two drivers reads a file."""

from __future__ import annotations

from vsipcheck.checks.config.asterisk import setting_of
from vsipcheck.checks.config.files import Dialect, Handed
from vsipcheck.checks.config.trunk import erase
from vsipcheck.checks.config.verdict import Verdict, World
from vsipcheck.model import Status
from vsipcheck.wire.asterisk import Place, Variable, is_true

# What a trunk of res_pjsip cannot do without; the last tells calls by their address.
_PJSIP_MODULES = (
    "chan_pjsip.so",
    "res_pjproject.so",
    "res_pjsip.so",
    "res_pjsip_session.so",
    "res_pjsip_sdp_rtp.so",
    "res_pjsip_endpoint_identifier_ip.so",
)


def judge_driver(handed: Handed, world: World) -> Verdict:
    """Of one file of chan_sip or res_pjsip."""
    place = Place(handed.path, 1)
    dialect = handed.dialect
    modules = world.configuration.asterisk(Dialect.MODULES)
    section = modules.section("modules") if modules is not None else None
    driver, *parts = ("chan_sip.so",) if dialect is Dialect.CHAN_SIP else _PJSIP_MODULES
    loads = section is not None and any(
        _module(variable) == driver for variable in section.all("load", "require", "preload")
    )
    if section is not None:
        refused = next((v for v in section.all("noload") if _module(v) in (driver, *parts)), None)
        auto = section.last("autoload")
        if refused is not None:
            return Verdict(
                Status.FAIL,
                "not_loaded",
                f"modules.conf keeps {_module(refused)} from being loaded (noload): "
                + (
                    "calls are not known by their address."
                    if _module(refused) == _PJSIP_MODULES[-1]
                    else f"nobody reads {handed.path}."
                ),
                "Put the trunk into pjsip.conf."
                if dialect is Dialect.CHAN_SIP
                else f"Take that line out of {refused.place.path}.",
                place=refused.place,
                edits=() if dialect is Dialect.CHAN_SIP else erase(setting_of(refused, "noload")),
            )
        if auto is not None and not is_true(auto.value) and not loads:
            return Verdict(
                Status.FAIL,
                "not_loaded",
                f"modules.conf loads only what it names, and {driver} is not among it: nobody reads {handed.path}.",
                "Put the trunk into pjsip.conf." if dialect is Dialect.CHAN_SIP else f"Add load = {driver}.",
                place=auto.place,
            )
    if dialect is Dialect.CHAN_SIP:
        return Verdict(
            Status.WARN,
            "removed_in_21",
            "This is a configuration of chan_sip, which was deprecated in Asterisk 17 and removed in Asterisk "
            "21: from there on nobody reads it. Which Asterisk runs is not in the file.",
            "Move the trunk to pjsip.conf: `vsipcheck config sample asterisk-pjsip` prints one.",
            settle_by="`asterisk -V` says which Asterisk runs.",
            place=place,
        )
    return Verdict(
        Status.PASS,
        "present",
        "This is a configuration of res_pjsip, which present versions of Asterisk have.",
        place=place,
    )


def _module(variable: Variable) -> str:
    name = variable.value.strip().lower()
    return name if name.endswith(".so") else f"{name}.so"
