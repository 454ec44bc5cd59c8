"""Texts about one target, told of several at once."""

from __future__ import annotations

from collections.abc import Sequence

_NAME, _ADDRESS = "\x00", "\x01"


def pattern_of(text: str, target: str | None) -> str:
    """`text` with its target (`ADDRESS`, `NAME` or `NAME@ADDRESS`) taken out: equal for texts that say the same."""
    if not target:
        return text
    name, at, address = target.partition("@")
    if at:
        text = text.replace(target, f"{_NAME}@{_ADDRESS}").replace(address, _ADDRESS)
    return text.replace(name, _NAME)


def fill_pattern(pattern: str, targets: Sequence[str | None]) -> str:
    """`pattern` with all of `targets` in the place of the one: `182.76.143.61, 122.15.8.184 and 61.246.82.75`."""
    parts = [(target or "").partition("@") for target in targets]
    names = _listed([name for name, _, _ in parts])
    addresses = _listed([address for _, at, address in parts if at])
    return (
        pattern.replace(f"{_NAME}@{_ADDRESS}", _listed([target or "" for target in targets]))
        .replace(_NAME, names)
        .replace(_ADDRESS, addresses)
    )


def _listed(words: Sequence[str]) -> str:
    several = list(dict.fromkeys(words))
    if len(several) < 2:
        return "".join(several)
    return f"{', '.join(several[:-1])} and {several[-1]}"


def first_sentence(text: str) -> str:
    """`text` up to its first full stop that ends a sentence, without the stop."""
    return text.split(". ")[0].removesuffix(".")
