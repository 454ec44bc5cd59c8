"""A profile that is wrong is refused, and the message says where and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from vsipcheck.profiles import DEFAULT_PROFILE, ProfileError, load_profile, profile_text

GOOD = profile_text(DEFAULT_PROFILE)
HEAD = GOOD.partition("[sources.guide]")[0]


def write(folder: Path, text: str | bytes) -> str:
    path = folder / "trunk.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


def refusal(name_or_path: str) -> ProfileError:
    with pytest.raises(ProfileError) as caught:
        load_profile(name_or_path)
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_good_file_is_read(tmp_path: Path) -> None:
    assert load_profile(write(tmp_path, GOOD)) == load_profile(DEFAULT_PROFILE)
    assert load_profile(write(tmp_path, b"\xef\xbb\xbf" + GOOD.encode())) == load_profile(DEFAULT_PROFILE)


@pytest.mark.parametrize(
    ("old", "new", "key", "expected", "found"),
    [
        ("port = 5070", "port = 70000", "signalling.port", "a port from 1 to 65535", "70000"),
        ("port = 5070", "port = 0", "signalling.port", "a port from 1 to 65535", "0"),
        ("port = 5070", 'port = "5070"', "signalling.port", "an integer", '"5070"'),
        ("port = 5070", "port = true", "signalling.port", "an integer", "true"),
        ("port = 5070", "port = 5070.5", "signalling.port", "an integer", "5070.5"),
        ("port = 5070\n", "", "signalling.port", "a value", "none"),
        ("customer_port = 5061", "customer_port = -1", "signalling.customer_port", "a port from 1 to 65535", "-1"),
        ("port = 5070", "port = 5070\nprot = 1", "signalling.prot", "a known key (did you mean port?)", "unknown"),
        ("sla = false", "sla = 0", "sla", "true or false", "0"),
        ("sla = false", "sla = false\nextra = 1", "extra", "a known key", "unknown"),
        ('dated = "2026-11-25"', "dated = 2026-11-25", "dated", "a string", "2026-11-25"),
        ('dated = "2026-11-25"', 'dated = "20261125"', "dated", "a date", "20261125"),
        ('name = "exotel', 'name = "Exotel', "name", "lower-case", "Exotel"),
        ("vsipcheck.profile/1", "vsipcheck.profile/2", "schema", '"vsipcheck.profile/1"', "vsipcheck.profile/2"),
        ('transport = "tcp"', 'transport = "udp"', "signalling.transport", '"tcp"', '"udp"'),
        ('transport = "udp"', 'transport = "rtp"', "media.transport", '"udp"', '"rtp"'),
        ('"pstn.in4.exotel.com"', '"pstn_in4.exotel.com"', "signalling.pops[1].fqdn", "a host name", "pstn_in4"),
        ('"pstn.in4.exotel.com"', '"1.2.3.300"', "signalling.pops[1].fqdn", "a host name", "1.2.3.300"),
        ('"pstn.in4.exotel.com"', '""', "signalling.pops[1].fqdn", "a host name", '""'),
        ('"pstn.in4.exotel.com"', '"pstn.in2.exotel.com"', "signalling.pops[1].fqdn", "once", "pstn.in2.exotel.com"),
        ('id = "mumbai-cloud"', 'id = "mumbai-dc"', "signalling.pops[1].id", "once", "mumbai-dc"),
        ('id = "mumbai-cloud"', "id = [1]", "signalling.pops[1].id", "a string", "an array"),
        ('region = "Mumbai Cloud"', 'regoin = "x"', "signalling.pops[1].regoin", "did you mean region", "unknown"),
        ('"{account_sid}.pstn', '"{sid}.pstn', "signalling.domain_pattern", "{account_sid}", "{sid}.pstn"),
        ("calls_per_minute = 200", "calls_per_minute = 0", "signalling.calls_per_minute", "1 or more", "0"),
        ("first_port = 10000", "first_port = 40001", "media.last_port", "first_port (40001) or more", "40000"),
        ('["PCMA", "PCMU"]', "[]", "media.codecs", "at least one codec", "none"),
        ('["PCMA", "PCMU"]', '["PCMA", "PCMA"]', "media.codecs[1]", "once", "PCMA"),
        ('"182.76.143.61"', '"182.76.143.061"', "media.addresses[0].address", "an IP address", "182.76.143.061"),
        ('"122.15.8.184"', '"182.76.143.61"', "media.addresses[1].address", "once", "182.76.143.61"),
        ("[9731, 50123]", "[9731, 33434]", "controls.udp_ports[1]", "outside the media range 10000-40000", "33434"),
        ("[9731, 50123]", "[]", "controls.udp_ports", "at least one port", "none"),
        ("tcp_ports = [443]", "tcp_ports = [443, 443]", "controls.tcp_ports[1]", "once", "443"),
        ("codes = [403]", "codes = [40]", "troubleshooting[3].codes[0]", "a SIP status code", "40"),
        ('stage = "during"', 'stage = "later"', "prechecks[11].stage", '"before" or "during" or "after"', '"later"'),
        (
            'name = "Via"\nmandatory = true',
            'name = "Via:"\nmandatory = true',
            "headers[1].name",
            "a header field",
            "Via:",
        ),
        (
            'name = "Via"\nmandatory = true',
            'name = "to"\nmandatory = true',
            "headers[4].name",
            "once a direction",
            "To",
        ),
        ('direction = "to_provider"', 'direction = "out"', "headers[19].direction", '"to_provider"', '"out"'),
        ('"https://api.ipify.org/"', '"http://api.ipify.org/"', "echo_services[0].url", "https://", "http://"),
        ('"https://api.ipify.org/"', '"https://u@api.ipify.org/"', "echo_services[0].url", "https://", "u@"),
        ('operator = "ipify"', 'operator = "i"\nformat = "json"', "echo_services[0].json_key", "a key", "none"),
        ('operator = "ipify"', 'operator = "i"\njson_key = "ip"', "echo_services[0].json_key", "nothing", "ip"),
        ("port = 19302", "port = 193020", "stun_servers[0].port", "a port from 1 to 65535", "193020"),
        ('"stun.l.google.com"', '"stun..google.com"', "stun_servers[0].host", "a host name", "stun..google.com"),
        ("ours = true", "ours = 1", "sources.ours.ours", "true or false", "1"),
        ("ours = true", "our = true", "sources.ours.our", "did you mean ours", "unknown"),
        ("[sources.ours]", "[sources.mine]", "controls.source", "guide, mine", "ours"),
    ],
)
def test_the_refusal_names_file_key_expected_and_found(
    tmp_path: Path, old: str, new: str, key: str, expected: str, found: str
) -> None:
    path = write(tmp_path, changed(old, new))
    error = refusal(path)
    assert (error.path, error.key) == (path, key)
    assert expected in str(error.expected)
    assert found in error.message
    assert str(error).startswith(f"{path}: {key}: expected ")


def test_a_profile_without_pops_or_media_addresses_is_refused(tmp_path: Path) -> None:
    head, _, rest = GOOD.partition("[[signalling.pops]]")
    without_pops = f"{head}pops = []\n[media]{rest.partition('[media]')[2]}"
    assert refusal(write(tmp_path, without_pops)).key == "signalling.pops"
    head, _, rest = GOOD.partition("[[media.addresses]]")
    without_media = f"{head}addresses = []\n[controls]{rest.partition('[controls]')[2]}"
    assert refusal(write(tmp_path, without_media)).key == "media.addresses"


@pytest.mark.parametrize("key", ["sources", "signalling", "media", "support"])
def test_a_value_where_a_table_belongs_is_refused(tmp_path: Path, key: str) -> None:
    error = refusal(write(tmp_path, f"{key} = 1\n{HEAD}"))
    assert (error.key, error.expected, error.message) == (key, "a table", "found 1")


def test_a_mistake_in_the_toml_is_told_with_its_line(tmp_path: Path) -> None:
    error = refusal(write(tmp_path, 'schema = "vsipcheck.profile/1"\nname = \n'))
    assert error.expected == "TOML"
    assert "line 2" in error.message


def test_text_that_is_not_utf8_is_told_with_its_line(tmp_path: Path) -> None:
    error = refusal(write(tmp_path, b'a = "1"\nb = "\xff"\n'))
    assert (error.expected, error.message) == ("UTF-8 text", "found the byte 0xff (at line 2)")


def test_deep_nesting_is_told(tmp_path: Path) -> None:
    assert refusal(write(tmp_path, "a = " + "[" * 100_000)).expected == "TOML"


def test_a_huge_file_is_not_read_whole(tmp_path: Path) -> None:
    assert "found more" in refusal(write(tmp_path, b"#" * (2 << 20))).message


@pytest.mark.parametrize("name", ["", "no-such", "exotel-tcp-mumbay"])
def test_an_unknown_name_lists_the_known_ones(name: str) -> None:
    error = refusal(name)
    assert DEFAULT_PROFILE in str(error)


def test_a_near_name_is_suggested() -> None:
    assert "did you mean exotel-tcp-mumbai?" in str(refusal("exotel-tcp-mumbay"))


@pytest.mark.parametrize("path", ["./missing", "missing.toml", "a\0b.toml"])
def test_a_missing_file_is_told(path: str) -> None:
    assert "cannot be read" in refusal(path).message


def test_a_directory_is_told(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(str(tmp_path)).message
