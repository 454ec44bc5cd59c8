"""The provider's values as dated TOML, and their strict loader."""

from vsipcheck.profiles.error import ProfileError
from vsipcheck.profiles.loader import DEFAULT_PROFILE, list_profiles, load_profile, profile_text
from vsipcheck.profiles.override import override

__all__ = ["DEFAULT_PROFILE", "ProfileError", "list_profiles", "load_profile", "override", "profile_text"]
