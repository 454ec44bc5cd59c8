"""Single values for one run replace the profile's, and say where they came from."""

from __future__ import annotations

import pytest

from vsipcheck.profiles import DEFAULT_PROFILE, ProfileError, load_profile, override

PROFILE = load_profile(DEFAULT_PROFILE)


def test_nothing_given_changes_nothing() -> None:
    assert override(PROFILE) is PROFILE
    assert override(PROFILE, port=5070) is PROFILE


def test_names_replace_all_pops_and_known_ones_keep_their_region() -> None:
    changed = override(PROFILE, fqdns=["PSTN.in4.exotel.com.", "sip.example.net", "2001:DB8::0:1", "sip.example.net"])
    assert [(pop.fqdn, pop.region, pop.source) for pop in changed.signalling.pops] == [
        ("pstn.in4.exotel.com", "Mumbai Cloud", "guide"),
        ("sip.example.net", "not given", "command-line"),
        ("2001:db8::1", "not given", "command-line"),
    ]
    assert changed.sources["command-line"].ours
    assert changed.media == PROFILE.media


def test_port_and_media_are_replaced() -> None:
    changed = override(PROFILE, port=5060, media=["192.0.2.7"])
    assert changed.signalling.port == 5060
    assert [entry.address for entry in changed.media.addresses] == ["192.0.2.7"]
    assert (changed.media.first_port, changed.media.codecs) == (10000, ("PCMA", "PCMU"))


@pytest.mark.parametrize(
    ("values", "option"),
    [
        ({"fqdns": ["a b"]}, "--fqdn"),
        ({"fqdns": [""]}, "--fqdn"),
        ({"fqdns": ["1.2.3.300"]}, "--fqdn"),
        ({"fqdns": ["a..b"]}, "--fqdn"),
        ({"fqdns": ["x" * 64 + ".example.net"]}, "--fqdn"),
        ({"fqdns": ["fe80::1%eth0"]}, "--fqdn"),
        ({"port": 0}, "--port"),
        ({"port": 70000}, "--port"),
        ({"media": ["media.example.net"]}, "--media"),
    ],
)
def test_a_wrong_value_names_its_option(values: dict[str, object], option: str) -> None:
    with pytest.raises(ProfileError) as caught:
        override(PROFILE, **values)  # type: ignore[arg-type]
    assert caught.value.key == option
    assert str(caught.value).startswith(f"{option}: expected ")
