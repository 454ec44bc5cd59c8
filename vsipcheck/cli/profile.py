"""`vsipcheck profile`: what values there are, and whether a file of them can be used."""

from __future__ import annotations

from vsipcheck import profiles
from vsipcheck.cli.options import UsageError
from vsipcheck.cli.output import write_stdout
from vsipcheck.wire.text import sanitise


def list_profiles() -> int:
    rows = [(name, profiles.load_profile(name)) for name in profiles.list_profiles()]
    width = max(len(name) for name, _ in rows)
    write_stdout("".join(f"{name:{width}}  {profile.title}, as of {profile.dated}\n" for name, profile in rows))
    return 0


def show_profile(name_or_path: str) -> int:
    try:
        text = profiles.profile_text(name_or_path)
    except profiles.ProfileError as error:
        raise UsageError(str(error)) from None
    # A file may come from anywhere. Tabs are whitespace in TOML, so that a space in their place changes nothing.
    lines = text.replace("\t", " ").splitlines()
    write_stdout("".join(f"{sanitise(line, max_length=max(len(line) * 10, 1))}\n" for line in lines))
    return 0


def check_profile(name_or_path: str) -> int:
    try:
        profile = profiles.load_profile(name_or_path)
    except profiles.ProfileError as error:
        raise UsageError(str(error)) from None
    counted = (
        f"{len(profile.signalling.pops)} signalling names, {len(profile.media.addresses)} media addresses, "
        f"values of {profile.dated}"
    )
    write_stdout(f"{sanitise(name_or_path)}: ok: {sanitise(profile.title)} ({counted})\n")
    return 0
