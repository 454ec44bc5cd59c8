"""FreeSWITCH's XML configuration: what its preprocessor leaves of it, and what stands in that."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsipcheck.wire.asterisk import Place
from vsipcheck.wire.errors import WireError
from vsipcheck.wire.freeswitch import AccessNode, FreeSwitchConfig, XmlFault, is_true, parse_freeswitch


def parse(text: str, variables: dict[str, str] | None = None, **files: str) -> FreeSwitchConfig:
    """The configuration of `text` as "main.xml"; an include of "name.xml" finds the keyword argument `name`."""

    def read(pattern: str, place: Place) -> Sequence[tuple[str, str]]:
        if pattern == "*.xml":
            return [(f"{name}.xml", content) for name, content in files.items()]
        content = {**files, "main": text}.get(pattern.removesuffix(".xml"))
        return [] if content is None else [(pattern, content)]

    return parse_freeswitch(text, "main.xml", read, variables)


def faults(config: FreeSwitchConfig) -> list[tuple[str, XmlFault]]:
    return [(str(deviation.place), deviation.fault) for deviation in config.deviations]


GATEWAY = """<include>
  <!-- the trunk -->
  <gateway name="exotel">
    <param name="proxy" value="sip.example:5070"/>
    <!-- <param name="register" value="true"/> -->
    <param name="Register"
           value="false"/>
    <param name="register" value="no"/>
    <variables>
      <variable name="sip_cid_type" value="pid" direction="outbound"/>
    </variables>
  </gateway>
</include>
"""


def test_a_gateway_of_its_own_file_is_read_with_its_places() -> None:
    config = parse(GATEWAY)
    (gateway,) = config.gateways
    assert (gateway.name, gateway.place.line, gateway.end.line, gateway.profile) == ("exotel", 3, 12, None)
    assert [(param.name, param.value, param.place.line) for param in gateway.params] == [
        ("proxy", "sip.example:5070", 4),
        ("Register", "false", 6),
        ("register", "no", 8),
    ]
    last = gateway.last("REGISTER")
    assert last is not None
    assert (last.value, last.raw) == ("no", '    <param name="register" value="no"/>')
    assert [param.value for param in gateway.all("register")] == ["false", "no"]
    assert [(found.name, found.value) for found in gateway.variables] == [("sip_cid_type", "pid")]
    assert config.line(gateway.place) == '  <gateway name="exotel">'
    assert config.line(Place("main.xml", 99)) is None
    assert config.deviations == ()


PROFILE = """<profile name="external">
  <aliases><alias name="outbound"/></aliases>
  <gateways>
    <X-PRE-PROCESS cmd="include" data="gateway.xml"/>
  </gateways>
  <domains>
    <domain name="all" alias="false" parse="true"/>
  </domains>
  <settings>
    <param name="sip-port" value="$${external_sip_port}"/>
    <param name="ext-rtp-ip" value="$${external_rtp_ip}"/>
  </settings>
</profile>
"""


def test_a_profile_has_its_settings_and_the_gateways_that_are_included_in_it() -> None:
    config = parse(PROFILE, {"external_sip_port": "5061"}, gateway=GATEWAY)
    (profile,) = config.profiles
    assert (profile.name, profile.place.line, profile.end.line) == ("external", 1, 12)
    assert (profile.aliases, profile.domains) == (("outbound",), ("all",))
    assert [(gateway.name, gateway.profile, str(gateway.place)) for gateway in profile.gateways] == [
        ("exotel", "external", "gateway.xml:3")
    ]
    assert config.gateways == profile.gateways
    port, address = profile.last("sip-port"), profile.last("ext-rtp-ip")
    assert port is not None
    assert address is not None
    assert (port.value, port.written, port.place) == ("5061", "$${external_sip_port}", Place("main.xml", 10))
    assert address.value == "$${external_rtp_ip}"
    assert faults(config) == [("main.xml:11", XmlFault.UNKNOWN_VARIABLE)]
    assert {file.path: file.included_from for file in config.files} == {
        "main.xml": None,
        "gateway.xml": Place("main.xml", 4),
    }


def test_an_access_list_has_its_nodes_and_its_default() -> None:
    config = parse(
        '<configuration name="acl.conf">\n<network-lists>\n<list name="trunk" default="deny">\n'
        '<node type="allow" cidr="192.0.2.1/32"/>\n<node type="deny" domain="$${domain}"/>\n</list>\n'
        "</network-lists>\n</configuration>\n",
        {"domain": "d.example"},
    )
    (access,) = config.access_lists
    assert (access.name, access.default, access.place.line, access.end.line) == ("trunk", "deny", 3, 6)
    assert access.nodes == (
        AccessNode("allow", "192.0.2.1/32", None, Place("main.xml", 4)),
        AccessNode("deny", None, "d.example", Place("main.xml", 5)),
    )


def test_settings_of_a_module_and_actions_of_a_dialplan_are_read() -> None:
    config = parse(
        '<document><configuration name="switch.conf"><settings>\n<param name="rtp-start-port" value="10000"/>\n'
        '</settings></configuration>\n<extension name="in"><condition>\n'
        '<action application="log" data="INFO ${sip_h_X-Exotel-CallSid}"/>\n</condition></extension></document>\n'
    )
    switch = config.configuration("SWITCH.conf")
    assert switch is not None
    assert [(param.name, param.value) for param in switch.params] == [("rtp-start-port", "10000")]
    assert [(action.name, action.value, action.place.line) for action in config.actions] == [
        ("log", "INFO ${sip_h_X-Exotel-CallSid}", 5)
    ]
    assert config.configuration("acl.conf") is None


def settings(lines: str, **files: str) -> tuple[list[str], FreeSwitchConfig]:
    config = parse(f'<profile name="p"><settings>\n{lines}\n</settings></profile>', None, **files)
    return [f"{param.name}={param.value}" for profile in config.profiles for param in profile.params], config


_A = '<param name="a" value="$${v}"/>'


# Lines in the settings of a profile, and what FreeSWITCH reads: it puts a variable in where it stands.
@pytest.mark.parametrize(
    ("lines", "read"),
    [
        (f'<X-PRE-PROCESS cmd="set" data="v=1"/>\n{_A}', ["a=1"]),
        (f'<x-pre-process CMD="SET" DATA="v = 1"/>\n{_A}', ["a=1"]),
        (f"<X-PRE-PROCESS cmd='set' data='v=1'/>\n{_A}", ["a=1"]),
        (f'<X-PRE-PROCESS cmd="set" data="v=\'1 2\'"/>\n{_A}', ["a=1 2"]),
        (f'<!--#set "v=1"-->\n{_A}', ["a=1"]),
        (f'<X-PRE-PROCESS cmd="set" data="v=1"/>\n{_A}\n<X-PRE-PROCESS cmd="set" data="v=2"/>\n{_A}', ["a=1", "a=2"]),
        (
            '<X-PRE-PROCESS cmd="set" data="u=1"/>\n<X-PRE-PROCESS cmd="set" data="v=$${u}$${u}"/>\n'
            f'<X-PRE-PROCESS cmd="set" data="u=2"/>\n{_A}',
            ["a=11"],
        ),
        (f'<X-NO-PRE-PROCESS cmd="set" data="v=1"/>\n<X-PRE-PROCESS cmd="set" data="v=2"/>\n{_A}', ["a=2"]),
        (f'<X-PRE-PROCESS cmd="set" data="v=0"/>\n<X-PRE-PROCESS cmd="comment" data="v=1"/>\n{_A}', ["a=0"]),
        ('<X-PRE-PROCESS cmd="include" data="x.xml"/>', ["b=1"]),
        ('<param name="a" value="x & y"/>', ["a=x & y"]),
        ('<param name="a" value="&lt;&amp;&#65;"/>', ["a=<&A"]),
        ('<param name="a" value="1"/>\r\n<param name="b"\rvalue="2"/>\r', ["a=1", "b=2"]),
        ('<!-- <param name="a" value="1"/>\n--><param name="b" value="2"/>', ["b=2"]),
        ('<param name="a" value="${v}"/>', ["a=${v}"]),
    ],
)
def test_a_setting_is_read_as_freeswitch_reads_it(lines: str, read: list[str]) -> None:
    found, config = settings(lines, x='<include>\n<param name="b" value="1"/>\n</include>\n')
    assert found == read
    assert config.deviations == ()


@pytest.mark.parametrize(
    ("lines", "fault", "read"),
    [
        ('<param name="a" value="1">', XmlFault.NOT_WELL_FORMED, ["a=1"]),
        ('<param name="a" value="1"/><!-- x -- y -->', XmlFault.NOT_WELL_FORMED, ["a=1"]),
        ('<param name="a" value="1"/>\n<!DOCTYPE x [<!ENTITY y "z">]>', XmlFault.DOCTYPE, ["a=1"]),
        ('<!ENTITY y "z">', XmlFault.DOCTYPE, []),
        ('<X-PRE-PROCESS cmd="include" data="none.xml"/>', XmlFault.MISSING_INCLUDE, []),
        ('<X-PRE-PROCESS cmd="include" data="main.xml"/>', XmlFault.INCLUDE_TOO_DEEP, []),
        ('<X-PRE-PROCESS cmd="exec" data="/bin/x"/>', XmlFault.EXEC, []),
        ('<X-PRE-PROCESS cmd="stun-set" data="a=stun:s.example"/>', XmlFault.EXEC, []),
        ('<X-PRE-PROCESS cmd="frobnicate" data="x"/>', XmlFault.UNKNOWN_COMMAND, []),
        ('<X-PRE-PROCESS cmd="set"/>', XmlFault.UNKNOWN_COMMAND, []),
        ('<X-PRE-PROCESS cmd="set" data="x"/>', XmlFault.UNKNOWN_COMMAND, []),
        ('<!-- <X-PRE-PROCESS cmd="set" data="v=1"/> -->\n' + _A, XmlFault.COMMENTED_COMMAND, ["a=1"]),
        ('<!--\n<X-PRE-PROCESS cmd="set" data="v=1"/>\n-->\n' + _A, XmlFault.COMMENTED_COMMAND, ["a=1"]),
        ('<X-PRE-PROCESS cmd="set" data="v=1"/><param name="b" value="1"/>', XmlFault.LINE_DROPPED, []),
        ('<include><param name="b" value="1"/>', XmlFault.LINE_DROPPED, []),
        (_A, XmlFault.UNKNOWN_VARIABLE, ["a=$${v}"]),
        ('<param value="1"/>', XmlFault.PARAM_WITHOUT_NAME, []),
    ],
)
def test_what_freeswitch_stumbles_over_is_told(lines: str, fault: XmlFault, read: list[str]) -> None:
    found, config = settings(lines)
    assert [deviation.fault for deviation in config.deviations] == [fault]
    assert found == read


def test_every_fault_has_its_case() -> None:
    marks = test_what_freeswitch_stumbles_over_is_told.pytestmark  # type: ignore[attr-defined]
    told = {fault for _, fault, _ in marks[0].args[1]}
    assert set(XmlFault) - told == {XmlFault.TOO_MANY_INCLUDES, XmlFault.TOO_LONG}


@pytest.mark.parametrize(
    "bomb",
    [
        '<?xml version="1.0"?>\n<!DOCTYPE l [\n<!ENTITY a "ha">\n<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">\n]>\n'
        '<profile name="&b;"/>\n',
        '<!DOCTYPE l SYSTEM "file:///etc/passwd">\n<profile name="p"/>\n',
        '<profile name="p"><!DOCTYPE l [<!ENTITY a "ha">]></profile>\n',
    ],
)
def test_no_entity_is_ever_declared(bomb: str) -> None:
    config = parse(bomb)
    assert XmlFault.DOCTYPE in {deviation.fault for deviation in config.deviations}
    assert all("ha" not in profile.name for profile in config.profiles)


def test_an_undeclared_entity_stands_for_itself() -> None:
    found, config = settings('<param name="a" value="&b;"/>')
    assert found == ["a=&b;"]
    assert config.deviations == ()


def test_variables_that_double_stop_growing() -> None:
    lines = '<X-PRE-PROCESS cmd="set" data="v=xxxxxxxx"/>\n' + '<X-PRE-PROCESS cmd="set" data="v=$${v}$${v}"/>\n' * 60
    found, config = settings(lines + _A)
    assert len(found[0]) <= 2 * 8192
    assert XmlFault.TOO_LONG in {deviation.fault for deviation in config.deviations}


def test_a_swarm_of_includes_ends() -> None:
    line = '<X-PRE-PROCESS cmd="include" data="*"/>\n'
    config = parse_freeswitch(
        line, "m", lambda pattern, place: [(f"{place.path}/{number}", line) for number in range(10)]
    )
    assert XmlFault.TOO_MANY_INCLUDES in {deviation.fault for deviation in config.deviations}
    assert len(config.files) <= 501


def test_a_text_without_markup_is_no_configuration() -> None:
    with pytest.raises(WireError, match="no XML"):
        parse("[general]\n")


_LINES = st.lists(
    st.one_of(
        st.text(max_size=30),
        st.sampled_from(
            [
                *('<profile name="p">', "</profile>", "<settings>", "</settings>", '<gateway name="g">', "</gateway>"),
                *('<param name="a" value="$${v}"/>', '<list name="l"><node/>', "</list>", "<!--", "-->", "<include>"),
                *('<X-PRE-PROCESS cmd="set" data="v=1"/>', '<X-PRE-PROCESS cmd="include" data="f"/>', "<!DOCTYPE x>"),
                *("<![CDATA[", "]]>", "<?xml?>", "&a;", "\0", "\ud800", "\r", "</r>", "<r>", "</r><r>"),
            ]
        ),
    ),
    max_size=25,
)


@given(lines=_LINES, other=_LINES)
def test_any_text_gives_values_or_a_wire_error(lines: list[str], other: list[str]) -> None:
    text, included = "\n".join(lines), "\n".join(other)
    try:
        config = parse_freeswitch(text, "m", lambda pattern, place: [("f", included)] if pattern == "f" else [])
    except WireError:
        assert "<" not in text
        return
    for gateway in config.gateways:
        assert config.line(gateway.place) is not None
        assert all(config.line(param.place) == param.raw for param in gateway.params)
    for deviation in config.deviations:
        assert config.line(deviation.place) is not None or deviation.place.line == 1


@pytest.mark.parametrize(
    "line", ["<!--", "<a>", "<a", _A, '<a b="', "&", "$${", "<X-PRE-PROCESS ", "data=" * 20, "<![CDATA["]
)
def test_long_texts_are_read_to_their_end(line: str) -> None:
    config = parse("<profile>\n" + f"{line}\n" * 20_000)
    assert len(config.files[0].lines) == 20_001


@pytest.mark.parametrize(
    ("value", "true"),
    [("true", True), ("YES", True), ("on", True), ("t", True), ("enabled", True), ("active", True), ("allow", True),
     ("1", True), ("-3", True), ("0", False), ("false", False), ("no", False), ("", False), ("²", False)],
)  # fmt: skip
def test_some_values_are_true(value: str, true: bool) -> None:
    assert is_true(value) is true
