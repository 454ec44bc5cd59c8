"""Whether every address of every signalling name accepts TCP and answers OPTIONS as a SIP server.

What is measured stands in `dialogue`; what each finding may say of it, and what else would look just like it, in the
module of its judge: `connect` and `blame`, `options` and `answers`, `in_dialog`, `redundancy`, `alg`, `size`.
"""

from __future__ import annotations

from vsipcheck.checks.base import Check, Facts
from vsipcheck.checks.sip.alg import ALG, judge_alg
from vsipcheck.checks.sip.connect import CONNECT, judge_connect
from vsipcheck.checks.sip.dialogue import measure
from vsipcheck.checks.sip.in_dialog import IN_DIALOG_FINDING, judge_in_dialog
from vsipcheck.checks.sip.options import OPTIONS, by_nearer, judge_options
from vsipcheck.checks.sip.redundancy import REDUNDANCY, judge_redundancy
from vsipcheck.checks.sip.size import SIZE_FINDING, judge_sizes
from vsipcheck.checks.sip.target import targets
from vsipcheck.model import Finding, Profile, Settings


def judge(facts: Facts, profile: Profile, settings: Settings) -> list[Finding]:
    """`sip.connect` and `sip.options` for every address of every name, `sip.redundancy` over them, and `sip.alg`; where
    asked for, `sip.size` for every address as well."""
    wanted = targets(facts, profile, settings)
    connects = [judge_connect(target, wanted, facts, profile) for target in wanted]
    options = [
        judge_options(target, connect, facts, profile, settings)
        for target, connect in zip(wanted, connects, strict=True)
    ]
    options = [by_nearer(finding, connect) for finding, connect in zip(options, connects, strict=True)]
    judged = list(zip(wanted, connects, options, strict=True))
    port = profile.signalling.in_dialog_port
    return [
        *connects,
        *options,
        *([] if port is None else [judge_in_dialog(target, port, facts, profile) for target in wanted]),
        judge_redundancy(judged, profile, settings),
        judge_alg(facts, profile, settings),
        *judge_sizes(facts, profile, settings),
    ]


CHECK = Check(
    name="sip",
    title="SIP signalling",
    finding_ids=(CONNECT, OPTIONS, IN_DIALOG_FINDING, REDUNDANCY, ALG, SIZE_FINDING),
    needs=("dns",),
    measure=measure,
    judge=judge,
)
