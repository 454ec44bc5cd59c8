"""Every finding and reason that a judge can emit is explained, and nothing else is."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import explained
import pytest

from vsipcheck import explanations
from vsipcheck.checks.registry import CHECKS
from vsipcheck.explanations import ExplanationError, explained_ids, load_explanation, near_ids
from vsipcheck.model import Failure, Finding, Status

ROOT = Path(__file__).parents[1]
ROOMS = ROOT / "vsipcheck/checks"
SOURCES = sorted(ROOMS.rglob("*.py"))
# It measures, and returns words of its own.
NO_JUDGE = ROOMS / "dns/walk.py"
# Whose findings a source has where it does not say so by its folder.
STEMS = {
    "message/caller_id.py": "call",
    "message/outbound.py": "call",
    "message/transport.py": "call",
    "public_address.py": "nat",
}
CODE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
ALIASES = {"_W", "_F", "_P"}
# Functions and structs that take a reason without its status: where it stands among their arguments.
TAKE_A_REASON = {
    "_unknown": (0, 1),
    "unknown": (0,),
    "lost": (0,),
    "sign": (0,),
    "_Sign": (0,),
    "Doubt": (0,),
    "Location": (1,),
}
TABLES = {"_WHY_NOT", "_NO_TARGET", "_REASONS", "_ORDER", "_LOST_ORDER"}
# Words beside a status that are no reasons: what an answer is worth.
NO_REASONS = {"answer", "wrong", "lost", "unread"}


def reasons_in(source: str) -> Iterator[tuple[int, str]]:
    """(line, code) of every string literal that stands as a reason."""
    for node in ast.walk(ast.parse(source)):
        found: list[ast.expr] = []
        if isinstance(node, ast.Call):
            named = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            found += [keyword.value for keyword in node.keywords if keyword.arg == "reason"]
            found += _after_a_status(node.args)
            found += [node.args[at] for at in TAKE_A_REASON.get(named, ()) if at < len(node.args)]
        elif isinstance(node, ast.Tuple):
            found += _after_a_status(node.elts)
        elif isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
            found += node.value.elts[:1]
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {target.id for target in targets if isinstance(target, ast.Name)}
            if names & TABLES:
                table = node.value
                found += [key for key in table.keys if key] if isinstance(table, ast.Dict) else []
                found += table.values if isinstance(table, ast.Dict) and "_REASONS" in names else []
                found += table.elts if isinstance(table, ast.Tuple) else []
            elif "reason" in names and node.value is not None:
                found.append(node.value)
        for expression in found:
            yield from _codes(expression)


def _after_a_status(values: list[ast.expr]) -> list[ast.expr]:
    return [following for value, following in pairwise(values) if _is_status(value)]


def _is_status(node: ast.expr) -> bool:
    if isinstance(node, ast.Name):
        return node.id in ALIASES
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Status"


def _codes(node: ast.expr) -> Iterator[tuple[int, str]]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
        if node.value not in NO_REASONS:
            yield node.lineno, node.value
    elif isinstance(node, ast.IfExp):
        yield from _codes(node.body)
        yield from _codes(node.orelse)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from _codes(value)
    elif isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
        start = str(node.values[0].value)
        if re.fullmatch(r"[a-z_]+_", start):
            yield node.lineno, f"{start}anything"


def stem_of(path: Path) -> str:
    if not path.is_relative_to(ROOMS):
        return path.stem
    within = path.relative_to(ROOMS)
    return STEMS.get(within.as_posix(), within.parts[0].removesuffix(".py"))


def test_every_id_is_explained_and_no_other() -> None:
    assert sorted(finding_id for check in CHECKS.values() for finding_id in check.finding_ids) == list(explained_ids())


@pytest.mark.parametrize("path", SOURCES, ids=[path.relative_to(ROOMS).as_posix() for path in SOURCES])
def test_every_reason_in_the_code_is_explained(path: Path) -> None:
    known = [load_explanation(each) for each in explained_ids() if each.partition(".")[0] == stem_of(path)]
    lacking = [
        f"{path.relative_to(ROOMS)}:{line}: {code}"
        for line, code in reasons_in(path.read_text(encoding="utf-8"))
        if known and path != NO_JUDGE and not any(explanation.reason(code) for explanation in known)
    ]
    assert lacking == []


def test_the_walk_finds_reasons() -> None:
    source = """
f(ID, Status.FAIL, "positional", "A sentence, no reason.")
g(reason="by_keyword")
y = (Status.WARN, "in_a_tuple" if x else "or_else")
_WHY_NOT = {"in_a_table": ("says", "so")}
lost("helper", "sentence")
f(Status.FAIL, f"part_{name}" if part else name)
f(_W, row.reason or "fallback")
def why(): return "returned", "sentence"
"""
    assert [code for _, code in reasons_in(source)] == [
        "in_a_table",
        "positional",
        "by_keyword",
        "in_a_tuple",
        "or_else",
        "helper",
        "part_anything",
        "fallback",
        "returned",
    ]


def test_no_explanation_is_dead() -> None:
    by_stem: dict[str, set[str]] = {}
    for path in [*SOURCES, ROOT / "vsipcheck/runner.py"]:
        words = by_stem.setdefault(stem_of(path), set())
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                words.add(node.value)
    for finding_id in explained_ids():
        alive = by_stem[finding_id.partition(".")[0]] | by_stem["runner"] | {str(failure) for failure in Failure}
        # What begins with a pattern's words is explained for its own sake where the rest is alive.
        starts = tuple(word for word in alive if re.fullmatch(r"[a-z]+_", word))
        for code in load_explanation(finding_id).reasons:
            part = next((code.removeprefix(start) for start in starts if code.startswith(start)), code)
            assert code in alive or part in alive or part == "*", f"{finding_id}: {code} occurs nowhere"


@pytest.mark.parametrize("finding_id", explained_ids())
def test_texts_are_whole_sentences_and_say_what_to_do(finding_id: str) -> None:
    explanation = load_explanation(finding_id)
    texts = [explanation.checks, explanation.verdict, *explanation.statuses.values()]
    for code, reason in explanation.reasons.items():
        texts += [text for text in (reason.means, reason.alike, reason.fix) if text is not None]
        bad = {Status.WARN, Status.FAIL, Status.UNKNOWN} & set(reason.statuses)
        assert bool(reason.fix) == bool(bad), f"{code}: what is not in order says what to do, and nothing else does"
    for text in texts:
        assert re.match(r"[A-Z0-9`/-]", text), text
        assert text.endswith((".", "?")), text
        assert "\n" not in text
        assert "  " not in text
    for rfc in explanation.rfcs:
        assert re.match(r"RFC \d{3,4}", rfc), rfc


def test_the_table_of_findings_in_the_readme_is_complete() -> None:
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("### Findings")[1].split("\n## ")[0]
    assert sorted(re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \|", section, re.MULTILINE)) == list(explained_ids())


def test_what_a_judge_returns_is_watched() -> None:
    def judge() -> list[Finding]:
        return [
            Finding(id="sip.connect", target=None, status=status, reason=reason, summary="")
            for status, reason in (
                (Status.PASS, "connected"),
                (Status.FAIL, "connected"),
                (Status.FAIL, "made_up"),
                (Status.UNKNOWN, "internal_error"),
            )
        ]

    assert len(explained.watch(judge)()) == 4
    found, explained.unexplained = explained.unexplained, set()
    assert found == {
        "sip.connect: connected is not explained as fail",
        "sip.connect: no explanation of the reason made_up (fail)",
    }
    nowhere = Finding(id="sip.nowhere", target=None, status=Status.PASS, reason="r", summary="")
    assert explained.lacks(nowhere) == "sip.nowhere has no explanation"


def test_a_name_goes_before_a_pattern() -> None:
    explanation = load_explanation("media.egress")
    assert explanation.reason_name("part_blocked") == "part_blocked"
    assert explanation.reason_name("part_host_unreachable") == "part_*"
    assert explanation.reason_name("nothing") is None


def test_near_ids() -> None:
    assert near_ids("sip.optoins")[0] == "sip.options"
    assert near_ids("media") == ["media.egress", "media.return"]
    assert near_ids("cgnat") == ["nat.cgnat"]
    assert near_ids("zzzz") == []


WHOLE = {
    "id": "x.y",
    "target": "t",
    "title": "T",
    "checks": "C.",
    "verdict": "V.",
    "guide": [],
    "rfcs": [],
    "statuses": {"pass": "P."},
    "reasons": {"r": {"statuses": ["pass"], "means": "M."}},
}


def _toml(table: dict[str, object]) -> bytes:
    def written(value: object) -> str:
        if isinstance(value, dict):
            return "{" + ", ".join(f'"{key}" = {written(each)}' for key, each in value.items()) + "}"
        return json.dumps(value)

    return "\n".join(f"{key} = {written(value)}" for key, value in table.items()).encode()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"extra": 1}, "unknown field `extra`"),
        ({"id": "x.z"}, "id: expected x.y, found x.z"),
        ({"reasons": {"r": {"statuses": ["pass"]}}}, "missing required field `means`"),
        ({"reasons": {"r": {"statuses": ["fail"], "means": "M."}}}, "fail has no meaning here"),
        ({"reasons": {"r": {"statuses": ["passed"], "means": "M."}}}, "other has no meaning here"),
        ({"statuses": {"pass": "P.", "warn": "W."}}, "no reason has warn"),
    ],
)
def test_a_faulty_file_is_refused(
    change: dict[str, object], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "_every.toml").write_text("reasons = {}\n")
    monkeypatch.setattr(explanations, "_FOLDER", tmp_path)
    (tmp_path / "x.y.toml").write_bytes(_toml(WHOLE))
    assert load_explanation("x.y").reasons["r"].means == "M."
    (tmp_path / "x.y.toml").write_bytes(_toml({**WHOLE, **change}))
    with pytest.raises(ExplanationError, match=re.escape(said)):
        load_explanation("x.y")
