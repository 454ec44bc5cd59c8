"""Asterisk's configuration format: what its own reader makes of a file, and what the codec lines in it come to."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsipcheck.wire.asterisk import (
    FATAL,
    AsteriskConfig,
    CodecList,
    Fault,
    LineKind,
    Place,
    Variable,
    allowed_codecs,
    is_false,
    is_true,
    parse_asterisk,
    split_list,
)
from vsipcheck.wire.errors import WireError


def parse(text: str, **files: str) -> AsteriskConfig:
    """The configuration of `text` as "main.conf"; an include of "name.conf" finds the keyword argument `name`."""

    def read(pattern: str, place: Place) -> Sequence[tuple[str, str]]:
        if pattern == "*.conf":
            return [(f"{name}.conf", content) for name, content in files.items()]
        content = {**files, "main": text}.get(pattern.removesuffix(".conf"))
        return [] if content is None else [(pattern, content)]

    return parse_asterisk(text, "main.conf", read)


def values(config: AsteriskConfig, name: str) -> list[str]:
    section = config.section(name)
    assert section is not None
    return [f"{variable.name}={variable.value}" for variable in section.variables]


def faults(config: AsteriskConfig) -> list[tuple[int, Fault]]:
    return [(deviation.place.line, deviation.fault) for deviation in config.deviations]


# What stands after [s], and the values that Asterisk reads.
@pytest.mark.parametrize(
    ("lines", "read"),
    [
        ("a=1", ["a=1"]),
        ("  a\t =  1  ", ["a=1"]),
        ("a=>1", ["a=1"]),
        ("a => 1", ["a=1"]),
        ("a = >1", ["a=>1"]),
        ("a==1", ["a==1"]),
        ("a=b=c", ["a=b=c"]),
        ("a=", ["a="]),
        ('a="x"', ['a="x"']),
        ("a=1\r", ["a=1"]),
        ("a=1 ; comment", ["a=1"]),
        ("a=1;comment", ["a=1"]),
        (r"a=sip:h\;transport=tcp ; c", ["a=sip:h;transport=tcp"]),
        ("a=sip:h;transport=tcp", ["a=sip:h"]),
        (r"a=x\;y\;z", ["a=x;y;z"]),
        (";a=1", []),
        ("; a ;-- b\nc=2", ["c=2"]),  # a comment that has begun opens no block
        (";-- a=1\nb=2\n--;\nc=3", ["c=3"]),
        (";-- a=1 --; b=2", ["b=2"]),
        ("a=1 ;-- x --; y\nb=2", ["a=1  y", "b=2"]),
        ("a=1;--x\ny\nz--;b=2\nc=3", ["a=1", "b=2", "c=3"]),
        (";-- a ;-- b --; c=1\n--;d=2", ["d=2"]),
        (";-- a ; b=1\n--;c=2", ["c=2"]),
        (";---- ruler\na=1", ["a=1"]),
        (";--- three\na=1", ["a=1"]),
        ("; -- no block\na=1", ["a=1"]),
        ("a=1\na=2", ["a=1", "a=2"]),
        ("allow=alaw\nallow+=,ulaw", ["allow=alaw,ulaw"]),
        ("allow = alaw\nallow += ,ulaw", ["allow=alaw ,ulaw"]),
        ("a=1\na+=2\nb=3\na+=4  ", ["a=124", "b=3"]),
        ("a=1\na=2\na+=3", ["a=1", "a=23"]),
        ("a+=1", ["a=1"]),
        ("a=\na+=  1", ["a=1"]),
        ("A=1\na+=2", ["A=1", "a=2"]),  # += goes by the name as it is spelled
        ("a+=>1", ["a=>1"]),
        (r"\#a=1", ["#a=1"]),
        (r"\[a]=1", ["[a]=1"]),
        (r"\=a=1", ["=a=1"]),
        ("a=1\0b", ["a=1"]),
        ("K\u00f6ln=\u00e9", ["K\u00f6ln=\u00e9"]),
    ],
)
def test_a_value_is_read_as_asterisk_reads_it(lines: str, read: list[str]) -> None:
    config = parse(f"[s]\n{lines}\n")
    assert values(config, "s") == read
    assert config.deviations == ()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a=1\n[s]", [(1, Fault.NO_SECTION)]),
        ("[s\na=1", [(1, Fault.UNCLOSED_SECTION)]),
        ("[s](!\na=1", [(1, Fault.UNCLOSED_OPTIONS)]),
        ("[s](t)\na=1", [(1, Fault.UNKNOWN_TEMPLATE)]),
        ("[t](!)\n[s](!, t)", [(2, Fault.UNKNOWN_TEMPLATE)]),  # " t" is not "t"
        ("[s](+)\na=1", [(1, Fault.UNKNOWN_ADDITION)]),
        ("[s](!)\n[s](+)", [(2, Fault.UNKNOWN_ADDITION)]),  # a template is added to by (+TEMPLATES=include)
        ("[s]\n[s](+x)", [(2, Fault.UNKNOWN_ADDITION)]),
        ("[s]\n[s](+a=^b$)", [(2, Fault.UNKNOWN_FILTER)]),
        ("[s] (t)\na=1", [(1, Fault.JUNK_AFTER_SECTION)]),
        ("[s](!)x", [(1, Fault.JUNK_AFTER_SECTION)]),
        ("[s]\nnothing\n", [(2, Fault.NO_EQUALS)]),
        ("[s]\n=1\n", [(2, Fault.NO_NAME)]),
        ("[s]\n+=1\n", [(2, Fault.NO_NAME)]),
        ("[s]\n\\\n", [(2, Fault.INVALID_ESCAPE)]),
        ("[s]\n;-- x\na=1", [(2, Fault.UNCLOSED_COMMENT)]),
        (";--;\n[s]\na=1", [(1, Fault.UNCLOSED_COMMENT)]),  # the ";" of ";--" closes nothing
        ("[s]\na=b--;c\nd=1", [(2, Fault.STRAY_COMMENT_END)]),
        ("[s]\n# a comment\n", [(2, Fault.UNKNOWN_DIRECTIVE)]),
        ("#include<x.conf>", [(1, Fault.UNKNOWN_DIRECTIVE)]),
        ("#include", [(1, Fault.NO_ARGUMENT)]),
        ("#include ; x.conf", [(1, Fault.NO_ARGUMENT)]),
        ("#include x.conf", [(1, Fault.MISSING_INCLUDE)]),
        ("#tryinclude x.conf", [(1, Fault.MISSING_TRYINCLUDE)]),
        ('#exec "/bin/x"', [(1, Fault.EXEC)]),
        ("#include main.conf", [(1, Fault.INCLUDE_TOO_DEEP)]),
        ("[s]\na=" + "x" * 8190, [(2, Fault.LINE_TOO_LONG)]),
        ("[s]\na=" + "\u00e9" * 4095, [(2, Fault.LINE_TOO_LONG)]),  # octets count
        ("\ufeff[s]\na=1", [(1, Fault.BYTE_ORDER_MARK)]),
        ("\u00ef\u00bb\u00bf[s]\na=1", [(1, Fault.BYTE_ORDER_MARK)]),
        (";--" * 129, [(1, Fault.NESTED_TOO_DEEP), (1, Fault.UNCLOSED_COMMENT)]),
    ],
)
def test_what_asterisk_stumbles_over_is_told(text: str, found: list[tuple[int, Fault]]) -> None:
    config = parse(text)
    assert faults(config) == found
    assert [deviation.fatal for deviation in config.deviations] == [fault in FATAL for _, fault in found]


def test_every_fault_has_its_case() -> None:
    marks = test_what_asterisk_stumbles_over_is_told.pytestmark  # type: ignore[attr-defined]
    told = {fault for _, found in marks[0].args[1] for _, fault in found}
    assert set(Fault) - told == {Fault.TOO_MANY_INCLUDES}


def test_a_stray_comment_end_leaves_the_rest_unread() -> None:
    config = parse("[s]\na=b--;c\nd=1\n;-- x\ne=2\n")
    assert values(config, "s") == ["a=b--;c", "e=2"]


def test_a_value_keeps_its_place_its_line_and_what_was_cut_off() -> None:
    config = parse("[s]\n\n  a = sip:h;transport=tcp\r\n")
    section = config.section("s")
    assert section is not None
    assert section.variables == (
        Variable("a", "sip:h", Place("main.conf", 3), "=", "  a = sip:h;transport=tcp\r", comment=";transport=tcp\r"),
    )
    assert config.line(Place("main.conf", 3)) == "  a = sip:h;transport=tcp\r"
    assert config.line(Place("main.conf", 4)) is None
    assert config.line(Place("other.conf", 1)) is None
    assert str(section.variables[0].place) == "main.conf:3"


def test_a_template_gives_its_values_first_and_is_no_section() -> None:
    config = parse("[t](!)\na=1\nallow=alaw\n[u](!)\na=2\n[s](t,u)\na=3\nallow+=,ulaw\n")
    section = config.section("s")
    assert section is not None
    assert section.templates == ("t", "u")
    assert values(config, "s") == ["a=1", "allow=alaw,ulaw", "a=2", "a=3"]
    last, first = section.last("A"), section.first("a")
    assert last is not None
    assert first is not None
    assert (last.value, last.place.line, last.inherited_from) == ("3", 7, None)
    assert (first.value, first.place.line, first.inherited_from) == ("1", 2, "t")
    allow = section.last("allow")
    assert allow is not None
    assert (allow.place.line, allow.appended) == (3, (Place("main.conf", 8),))
    assert section.end == Place("main.conf", 8)
    assert config.section("t") is None
    template = next(found for found in config.sections if found.name == "t")
    assert template.is_template
    assert [variable.value for variable in template.variables] == ["1", "alaw"]


def test_a_template_of_a_template_is_told_by_its_first_name() -> None:
    config = parse("[t](!)\na=1\n[u](!,t)\nb=2\n[s](u)\n")
    section = config.section("s")
    assert section is not None
    assert [(variable.name, variable.inherited_from) for variable in section.variables] == [("a", "t"), ("b", "u")]


def test_any_section_can_be_inherited_from_as_it_is_by_then() -> None:
    config = parse("[t]\na=1\n[s](t)\n[t](+)\nb=2\n")
    assert values(config, "s") == ["a=1"]
    assert values(config, "t") == ["a=1", "b=2"]


def test_an_empty_template_name_fits_the_first_section_there_is() -> None:
    assert values(parse("[general]\na=1\n[s]()\n"), "s") == ["a=1"]


def test_an_addition_adds_to_the_first_that_is_no_template() -> None:
    config = parse("[s](!)\na=1\n[s]\nb=2\n[s]\nc=3\n[x]\n[s](+)\nd=4\n")
    assert [[variable.name for variable in section.variables] for section in config.named("S")] == [["b", "d"], ["c"]]
    first = config.first("s")
    assert first is not None
    assert first.additions == (Place("main.conf", 8),)
    assert first.end == Place("main.conf", 4)


def test_an_addition_can_name_what_it_adds_to() -> None:
    text = (
        "[s]\ntype=aor\n[s]\ntype=endpoint\n[s](!)\ntype=x\n[s](+type=endpoint)\na=1\n[s](+TEMPLATES=restrict)\nb=2\n"
    )
    config = parse(text)
    assert [[variable.name for variable in section.variables] for section in config.sections] == [
        ["type"],
        ["type", "a"],
        ["type", "b"],
    ]


def test_an_addition_can_inherit_too() -> None:
    config = parse("[t](!)\na=1\n[s]\nb=2\n[s](+,t)\nc=3\n[s](t,+)\n")
    assert values(config, "s") == ["b=2", "a=1", "c=3", "a=1"]


def test_repeated_sections_add_to_each_other() -> None:
    config = parse("[Peer]\na=1\n[x]\n[peer]\nb=2\n")
    assert values(config, "peer") == ["a=1", "b=2"]
    first, both = config.first("peer"), config.section("peer")
    assert first is not None
    assert both is not None
    assert [variable.name for variable in first.variables] == ["a"]
    assert both.additions == (Place("main.conf", 4),)


def test_of_general_only_the_first_is_ever_seen() -> None:
    config = parse("[general]\na=1\n[General]\nb=2\n[general](+)\nc=3\n")
    assert values(config, "general") == ["a=1", "c=3"]
    assert len(config.named("general")) == 2


def test_an_included_file_goes_on_in_the_section_and_leaves_it_as_it_was() -> None:
    config = parse(
        '[s]\na=1\n#include "x.conf"\nd=4\n#include y.conf\nf=6\n',
        x="b=2\n[t]\nc=3\n",
        y="e=5 ; to the last section read\n",
    )
    assert values(config, "s") == ["a=1", "b=2", "d=4", "f=6"]
    assert values(config, "t") == ["c=3", "e=5"]
    section = config.section("s")
    assert section is not None
    assert [str(variable.place) for variable in section.variables] == [
        "main.conf:2",
        "x.conf:1",
        "main.conf:4",
        "main.conf:6",
    ]
    assert section.end == Place("main.conf", 6)
    assert {file.path: file.included_from for file in config.files} == {
        "main.conf": None,
        "x.conf": Place("main.conf", 3),
        "y.conf": Place("main.conf", 5),
    }
    assert config.deviations == ()


@pytest.mark.parametrize(
    "line", ["#include x.conf", '#INCLUDE "x.conf"', "#include <x.conf>", "#tryinclude\tx.conf ; c"]
)
def test_an_include_can_be_written_in_several_ways(line: str) -> None:
    assert values(parse(f"[s]\n{line}\n", x="a=1"), "s") == ["a=1"]


def test_an_open_comment_goes_on_in_the_next_file_of_a_glob() -> None:
    config = parse("[s]\n#include *.conf\nd=4\n", x="a=1\n;-- b\n", y="c=3\n--;\n[t]\ne=5\n")
    assert values(config, "s") == ["a=1", "d=4"]
    assert values(config, "t") == ["e=5"]
    assert [(str(deviation.place), deviation.fault) for deviation in config.deviations] == [
        ("x.conf:2", Fault.UNCLOSED_COMMENT)
    ]


def test_includes_are_followed_ten_deep_and_no_further() -> None:
    files = {f"f{number}": f"#include f{number + 1}.conf\n" for number in range(20)}
    config = parse("#include f0.conf\n", **files)
    assert len(config.files) == 11
    assert faults(config) == [(1, Fault.INCLUDE_TOO_DEEP)]


def test_a_swarm_of_includes_ends() -> None:
    def read(pattern: str, place: Place) -> Sequence[tuple[str, str]]:
        return [(f"{place.path}/{number}", "#include *\n") for number in range(10)]

    config = parse_asterisk("#include *\n", "m", read)
    assert Fault.TOO_MANY_INCLUDES in {deviation.fault for deviation in config.deviations}
    assert len(config.files) <= 501


def test_templates_that_double_are_refused() -> None:
    text = "[a0]\nx=1\n" + "".join(f"[a{number + 1}](a{number},a{number})\n" for number in range(60))
    with pytest.raises(WireError, match="templates"):
        parse(text)


def test_what_each_line_is_is_told() -> None:
    text = "; c\n\n[s]\na=1\n;--\nb=2\n--;\n#include x.conf\njunk\n"
    config = parse(text, x="c=3")
    assert config.files[-1].path == "x.conf" or config.files[0].path == "x.conf"
    main = next(file for file in config.files if file.path == "main.conf")
    assert main.lines == tuple(text.splitlines())
    assert list(main.kinds) == [
        LineKind.COMMENT,
        LineKind.BLANK,
        LineKind.SECTION,
        LineKind.VARIABLE,
        LineKind.COMMENT,
        LineKind.COMMENT,
        LineKind.COMMENT,
        LineKind.DIRECTIVE,
        LineKind.IGNORED,
    ]


_ODD_LINES = [
    *("[a]", "[b](a)", "[a](+)", "[t](!)", "[c](t,a)", "[](+)", "x=1", "x+=2", "=", "a=b--;", "[", "]("),
    *(";--", "--;", ";", "\\", "\\;", "\0", "\ufeff", "\ud800=1"),
    *("#include f", "#include *", "#tryinclude g", "#exec h"),
]
_LINES = st.lists(st.one_of(st.text(max_size=30), st.sampled_from(_ODD_LINES)), max_size=25)


@given(lines=_LINES, other=_LINES)
def test_any_text_gives_values_or_a_wire_error_and_every_line_is_accounted_for(
    lines: list[str], other: list[str]
) -> None:
    text, included = "\n".join(lines), "\n".join(other)
    try:
        config = parse_asterisk(text, "m", lambda pattern, place: [("f", included)] if pattern in "f*" else [])
    except WireError:
        return
    for file in config.files:
        assert len(file.kinds) == len(file.lines)
        assert "\n".join(file.lines) in (text, included, text.removesuffix("\n"), included.removesuffix("\n"))
        told = {deviation.place.line for deviation in config.deviations if deviation.place.path == file.path}
        assert {number for number, kind in enumerate(file.kinds, 1) if kind is LineKind.IGNORED} <= told
    for section in config.sections:
        for variable in section.variables:
            assert config.line(variable.place) == variable.raw


_NAME = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
_VALUE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x2FF), max_size=20).map(str.strip)


@given(
    st.lists(
        st.tuples(_NAME, st.lists(st.tuples(_NAME, st.sampled_from(["=", " => "]), _VALUE), max_size=5)), max_size=5
    )
)
def test_a_configuration_that_was_written_is_read_back(sections: list[tuple[str, list[tuple[str, str, str]]]]) -> None:
    text = ""
    for name, variables in sections:
        text += f"[{name}]\n"
        for key, operator, value in variables:
            text += f"{key}{operator}" + value.replace(";", "\\;") + " ; comment\n"
    # ">" at the beginning would be the rest of "=>", and a backslash before ";" escapes it.
    expected = [(name, [(key, value) for key, _, value in variables]) for name, variables in sections]
    if any(
        value.startswith(">") or "\\;" in value or value.endswith("\\") for _, found in expected for _, value in found
    ):
        return
    config = parse_asterisk(text, "m")
    assert config.deviations == ()
    read = [(section.name, [(found.name, found.value) for found in section.variables]) for section in config.sections]
    assert read == expected


@pytest.mark.parametrize(
    "line",
    [
        *("a+=" + "x" * 40, "[s](+)", "[s](!)", "[t](+,!)", "[](+)", "a=1"),
        *(";--", "--;", ";" * 80, "\\;" * 80),
    ],
)
def test_long_texts_are_read_to_their_end(line: str) -> None:
    config = parse("[s]\na=1\n[t]\n" + f"{line}\n" * 30_000)
    assert len(config.files[0].kinds) == 30_003


def codecs(lines: str, start: CodecList | None = None) -> CodecList:
    section = parse(f"[s]\n{lines}\n").section("s")
    assert section is not None
    return allowed_codecs(section.variables, start)


@pytest.mark.parametrize(
    ("lines", "names", "everything"),
    [
        ("disallow=all\nallow=alaw\nallow=ulaw", ("alaw", "ulaw"), False),
        ("disallow=all\nallow=alaw,ulaw", ("alaw", "ulaw"), False),
        ("allow=!all,alaw,ulaw", ("alaw", "ulaw"), False),
        ("disallow=!all", (), True),
        ("allow=alaw\nallow=ulaw\ndisallow=alaw", ("ulaw",), False),
        ("allow=alaw\ndisallow=all", (), False),
        ("allow=ulaw\nallow=alaw\nallow=ulaw", ("ulaw", "alaw"), False),
        ("allow=ulaw\ndisallow=ulaw\nallow=alaw\nallow=ulaw", ("alaw", "ulaw"), False),
        ("allow=all", (), True),
        ("allow=alaw\nallow=all", ("alaw",), True),
        ("allow=all\nallow=alaw", (), True),
        ("allow=all,!g729", (), True),
        ("allow=ALAW", ("alaw",), False),
        ("allow=alaw,!alaw", (), False),
        ("allow=alaw\nallow+=,ulaw", ("alaw", "ulaw"), False),
        ("allow=", (), False),
        ("disallow=\nallow=alaw", ("alaw",), False),
        ("ALLOW=alaw", ("alaw",), False),
        ("dtmfmode=rfc2833", (), False),
    ],
)
def test_allow_and_disallow_add_and_take_away_in_their_turn(
    lines: str, names: tuple[str, ...], everything: bool
) -> None:
    found = codecs(lines)
    assert (found.names, found.everything) == (names, everything)
    assert found.unknown == ()


def test_the_framing_of_a_codec_is_told_and_a_bad_one_drops_the_codec() -> None:
    found = codecs("allow=alaw:20,ulaw:30,g729:x,gsm:-1,g722:0")
    assert [(codec.name, codec.framing_ms) for codec in found.codecs] == [("alaw", 20), ("ulaw", 30), ("g722", None)]
    assert found.unknown == ("g729:x", "gsm:-1")


def test_words_that_are_no_codec_are_told_and_blanks_are_none_of_a_word() -> None:
    found = codecs("allow=pcma, alaw ,all,!g729\n")
    assert (found.names, found.everything, found.excluded) == (("alaw",), True, ("g729",))
    assert found.unknown == ("pcma",)


def test_a_peer_begins_with_what_general_allows() -> None:
    general = codecs("disallow=all\nallow=ulaw")
    assert codecs("allow=alaw", general).names == ("ulaw", "alaw")
    assert codecs("disallow=all\nallow=alaw", general).names == ("alaw",)


@given(st.text(max_size=40))
def test_any_list_of_codecs_gives_a_value(value: str) -> None:
    variable = Variable("allow", value, Place("f", 1), "=", value)
    found = allowed_codecs([variable])
    assert set(found.names) <= {
        word.strip().lower().rpartition(":")[0] or word.strip().lower() for word in value.split(",")
    }


@pytest.mark.parametrize(
    ("value", "true", "false"),
    [("yes", True, False), ("On", True, False), ("1", True, False), ("no", False, True), ("OFF", False, True),
     ("0", False, True), ("force_rport", False, False), ("", False, False), ("2", False, False)],
)  # fmt: skip
def test_some_values_are_true_some_false_and_some_neither(value: str, true: bool, false: bool) -> None:
    assert (is_true(value), is_false(value)) == (true, false)


def test_a_list_is_split_at_commas() -> None:
    assert split_list(" a, b ,,c") == ("a", "b", "c")
