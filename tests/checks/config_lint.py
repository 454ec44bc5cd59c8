"""Configurations judged without a disk: each text as the note that reading it would have left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from vsipcheck.checks.base import Facts
from vsipcheck.checks.config import check as config
from vsipcheck.checks.config.files import read_all
from vsipcheck.model import AnyFact, CheckEvidence, Finding, Note, Profile, Settings
from vsipcheck.profiles import DEFAULT_PROFILE, load_profile
from vsipcheck.wire.secrets import mask_secrets

PROFILE = load_profile(DEFAULT_PROFILE)
SID = "acme1"
PUBLIC = "20.30.40.50"  # the public address of the customer's in these tests; nobody is sent anything


def facts_of(notes: Iterable[Note], others: Iterable[AnyFact] = ()) -> Facts:
    numbered = tuple(msgspec.structs.replace(note, id=f"config.{index}") for index, note in enumerate(notes, 1))

    def evidence(facts: tuple[AnyFact, ...]) -> CheckEvidence:
        return CheckEvidence(version=1, offset_ms=0.0, duration_ms=0.0, error=None, facts=facts)

    return Facts({"config": evidence(numbered), "dns": evidence(tuple(others))})


def note_of(path: str, text: str) -> Note:
    masked, secrets = mask_secrets(text)
    pairs = zip(text.split("\n"), masked.split("\n"), strict=True)
    hidden = [number for number, (old, new) in enumerate(pairs, 1) if old != new]
    values = {"path": path, "text": masked, "failure": None, "secrets": secrets, "masked_lines": hidden, "given": True}
    return Note(topic="file", text=path, values=values)


def settings_of(**settings: object) -> Settings:
    return msgspec.structs.replace(Settings(checks=("config",)), **settings)


def lint(
    files: Mapping[str, str], *, facts: Iterable[AnyFact] = (), profile: Profile = PROFILE, **settings: object
) -> list[Finding]:
    """The findings on texts by path."""
    notes = [note_of(path, text) for path, text in files.items()]
    return config.judge(facts_of(notes, facts), profile, settings_of(**settings))


def lint_paths(*paths: str | Path, **settings: object) -> list[Finding]:
    """The findings on files of the disk, with what they include."""
    notes: list[Note] = []
    read_all([str(path) for path in paths], notes.append)
    return config.judge(facts_of(notes), PROFILE, settings_of(**settings))


def only(findings: Iterable[Finding], finding_id: str, target: str | None = None) -> Finding:
    found = [each for each in findings if each.id == finding_id and target in (None, each.target)]
    assert len(found) == 1, [(each.id, each.target) for each in found]
    return found[0]


def apply(patch: str, files: Mapping[str, str]) -> dict[str, str]:
    """The texts after a unified diff, applied to the letter: every line of context has to be where it is said to be."""
    texts = dict(files)
    lines = patch.split("\n")
    assert lines.pop() == ""
    at = 0
    while at < len(lines):
        assert lines[at].startswith("--- ")
        assert lines[at + 1] == "+++ " + lines[at][4:]
        path = lines[at][4:]
        old = texts[path].split("\n")
        new: list[str] = []
        done = 0
        at += 2
        while at < len(lines) and lines[at].startswith("@@ "):
            left, right = (tuple(map(int, span[1:].split(","))) for span in lines[at].split(" ")[1:3])
            first = left[0] - 1 if left[1] else left[0]
            assert first >= done
            new += old[done:first]
            done = first
            assert right == ((len(new) + 1 if right[1] else len(new)), right[1])
            at += 1
            took = gave = 0
            while (took, gave) != (left[1], right[1]) or lines[at : at + 1] == ["\\ No newline at end of file"]:
                sign, body = lines[at][:1], lines[at][1:]
                at += 1
                if sign == "\\":
                    continue
                if sign in " -":
                    assert old[done] == body, (old[done], body)
                    done += 1
                    took += 1
                if sign in " +":
                    new.append(body)
                    gave += 1
            assert (took, gave) == (left[1], right[1])
        texts[path] = "\n".join([*new, *old[done:]])
    return texts
