"""No password is left in a configuration that was masked, and nothing else in it changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsipcheck.wire.asterisk import parse_asterisk
from vsipcheck.wire.secrets import MASK, mask_secrets


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("secret=hunter2", f"secret={MASK}"),
        ("secret = hunter2 ", f"secret = {MASK} "),
        ("\tSecret\t=>\thunter2\r", f"\tSecret\t=>\t{MASK}\r"),
        ("secret=hunter2 two", f"secret={MASK}"),
        ("secret=hunter2 ; the old one", f"secret={MASK} ; the old one"),
        ("secret=hunter2;two", f"secret={MASK}"),  # Asterisk reads "hunter2"; the rest is a password all the same
        (r"secret=hunter\;2", f"secret={MASK}"),
        ("secret+=hunter2", f"secret+={MASK}"),
        ('secret="hunter2"', f'secret="{MASK}"'),
        (";secret=hunter2", f";secret={MASK}"),
        ("; secret = hunter2 ; secret=hunter3", f"; secret = {MASK} ; secret={MASK}"),
        (";-- secret=hunter2 --; a=1", f";-- secret={MASK} --; a=1"),
        ("secret=hunter2 ;-- c", f"secret={MASK} ;-- c"),
        ("secret=hunter2;-- c", f"secret={MASK};-- c"),
        ("; the password is hunter2", f"; the password is {MASK}"),
        ("; password: hunter2 (old)", f"; password: {MASK} (old)"),
        ("md5secret=0123abc", f"md5secret={MASK}"),
        ("remotesecret=x", f"remotesecret={MASK}"),
        ("md5_cred=x", f"md5_cred={MASK}"),
        ("outbound_auth/password = x", f"outbound_auth/password = {MASK}"),
        ("dbpass=x", f"dbpass={MASK}"),
        ("refresh_token=x", f"refresh_token={MASK}"),
        ("register => user:hunter2@host", f"register => user:{MASK}@host"),
        ("register=>tcp://u@dom:hun@ter2:auth@host:5070/100~60", f"register=>tcp://u@dom:{MASK}@host:5070/100~60"),
        ("register => peer?tls://u:p@host", f"register => peer?tls://u:{MASK}@host"),
        ("register => user@host", "register => user@host"),
        ("auth = user:hunter2@realm", f"auth = user:{MASK}@realm"),
        ("auth = user#0123abc@realm", f"auth = user#{MASK}@realm"),
        ("contact=sip:u:hunter2@host:5070", f"contact=sip:u:{MASK}@host:5070"),
        ("contact=sip:u:hunter@2@host", f"contact=sip:u:{MASK}@host"),
        ("a=1\n\nsecret=x\nb=2\n", f"a=1\n\nsecret={MASK}\nb=2\n"),
        ('<param name="password" value="x"/>', f'<param name="password" value="{MASK}"/>'),
        ("<param value='x' name='Password'/>", f"<param value='{MASK}' name='Password'/>"),
        ('<param name = "vm-password"\n value = "x"/>', f'<param name = "vm-password"\n value = "{MASK}"/>'),
        ('<param name="password" value="a<b>c"/>', f'<param name="password" value="{MASK}"/>'),
        ('<!--<param name="password" value="x"/>-->', f'<!--<param name="password" value="{MASK}"/>-->'),
        ('<!-- param name="password" value="x" -->', f'<!-- param name="password" value="{MASK}" -->'),
        ('<param name="password" value="x\ny"/>', f'<param name="password" value="{MASK}\n"/>'),
        ('<param name="password" value="x', f'<param name="password" value="{MASK}'),
        ('<variable name="a1-hash" value="x"/>', f'<variable name="a1-hash" value="{MASK}"/>'),
        ('<param name="odbc-dsn" value="db:u:p"/>', f'<param name="odbc-dsn" value="{MASK}"/>'),
        (
            '<X-PRE-PROCESS cmd="set" data="default_password=1234"/>',
            f'<X-PRE-PROCESS cmd="set" data="default_password={MASK}"/>',
        ),
        ('<user password="x" id="1"/>', f'<user password="{MASK}" id="1"/>'),
        ("<password>x</password>", f"<password>{MASK}</password>"),
        ('<param name="password">x</param>', f'<param name="password">{MASK}</param>'),
        ('<param name="gateway-credentials" value="basic x"/>', f'<param name="gateway-credentials" value="{MASK}"/>'),
        ('<a data="https://u:x@h/y"/>', f'<a data="https://u:{MASK}@h/y"/>'),
        (
            """<X-PRE-PROCESS cmd="set" data="dsn=pgsql://host=1 password='x'"/>""",
            f"""<X-PRE-PROCESS cmd="set" data="dsn={MASK}"/>""",
        ),
        ("setvar=SIPPASS=x", f"setvar=SIPPASS={MASK}"),
        ("pin=1234", f"pin={MASK}"),
        ("adminpin=1234", f"adminpin={MASK}"),
        ("accesskey=x", f"accesskey={MASK}"),
        ("1234 => 4242,Someone,a@b", f"1234 => {MASK},Someone,a@b"),
        ("exten => 1,1,Authenticate(1234)", f"exten => 1,1,Authenticate({MASK})"),
        ("same => n,Set(A=${CURL(https://u:x@h/y)})", f"same => n,Set(A=${{CURL(https://u:{MASK}@h/y)}})"),
        ("same => n,System(curl -u me:x https://h)", f"same => n,System(curl -u me:{MASK} https://h)"),
        ("header=Authorization: Bearer x.y-z", f"header=Authorization: Bearer {MASK}"),
        ("dburl=mysql://u:x@h/db", f"dburl=mysql://u:{MASK}@h/db"),
        ('a = 1\n<param name="password" value="abc"/>', f'a = 1\n<param name="password" value="{MASK}"/>'),
    ],
)
def test_a_secret_is_masked_where_it_stands(text: str, masked: str) -> None:
    assert mask_secrets(text)[0] == masked
    assert mask_secrets(masked) == (masked, 0)
    assert (mask_secrets(text)[1] > 0) == (text != masked)


def test_secrets_are_counted() -> None:
    assert mask_secrets("secret=a\nregister => u:p@h\n; password is c\n")[1] == 3
    assert mask_secrets('<a><param name="password" value="x"/><user password="y"/></a>')[1] == 2


@pytest.mark.parametrize(
    "text",
    [
        "secret=",
        "secret = ; none",
        "insecure=port,invite",
        "auth=trunk-auth",
        "outbound_auth=trunk-auth",
        "auth_type=userpass",
        "tlsprivatekey=/etc/asterisk/keys/a.key",
        "priv_key_file=/etc/asterisk/keys/a.key",
        "contact=sip:host:5070",
        "contact=sip:a:5060,sip:u@b",
        "register_retry = 5",
        "bypass=yes",
        "exten => 1234,1,Dial(SIP/1)",
        "tcpbindaddr=0.0.0.0:5061",
        "outboundproxy=tcp://host:5070,force",
        "https://h:8089/ws",
        "spin=1",
        "context=from-trunk",
        '<param name="inbound-bypass-media" value="true"/>',
        '<param name="pass-rfc2833" value="true"/>',
        '<param name="auth-calls" value="false"/>',
        '<param name="register" value="false"/>',
        '<param name="password" value=""/>',
        '<param name="password"/><param name="realm" value="x"/>',
        "",
        "\n\n",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert mask_secrets(text) == (text, 0)


_SECRET = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x17E, exclude_characters="\x7f\xa0\xad"), min_size=1, max_size=24
)
_ASTERISK_FORMS = [
    "secret={}",
    "secret = {}",
    "  remotesecret =>{}",
    "md5secret\t=>\t{}\t; why",
    ";secret={}",
    "; password = {} ; old",
    "register => me:{}@pstn.example:5070/100",
    "auth={}x:{}@realm",
    "inbound_auth/password={}",
]


@given(
    secret=_SECRET.filter(lambda secret: "--;" not in secret and ";--" not in secret),
    form=st.sampled_from(_ASTERISK_FORMS),
)
def test_no_masked_secret_survives_in_asterisk_files(secret: str, form: str) -> None:
    marked = f"Q{secret}Q"  # so that it can not be part of the words around it
    if form.startswith("auth"):
        form = form.replace("{}x", "user", 1)
    text = f"[general]\n{form.format(marked)}\nallow=alaw\n"
    masked, count = mask_secrets(text)
    assert marked not in masked
    assert count >= 1
    assert masked.count("\n") == text.count("\n")
    assert masked.endswith("\nallow=alaw\n")
    assert mask_secrets(masked) == (masked, 0)


_XML_FORMS = [
    '<param name="password" value="{}"/>',
    "<param name='vm-password' value='{}'/>",
    '<param value="{}" name="password"/>',
    '<!-- <param name="password"\n  value="{}"/> -->',
    '<X-PRE-PROCESS cmd="set" data="default_password={}"/>',
]


@given(secret=_SECRET.filter(lambda secret: not set(secret) & set("\"'<>")), form=st.sampled_from(_XML_FORMS))
def test_no_masked_secret_survives_in_freeswitch_files(secret: str, form: str) -> None:
    marked = f"Q{secret}Q"
    text = f'<include>\n{form.format(marked)}\n<param name="register" value="false"/>\n</include>\n'
    masked, count = mask_secrets(text)
    assert marked not in masked
    assert count == 1
    assert masked.count("\n") == text.count("\n")
    assert masked.endswith('\n<param name="register" value="false"/>\n</include>\n')


@given(st.text(st.one_of(st.characters(), st.sampled_from("=;:<>\"'-@[](){} \n")), max_size=200))
def test_any_text_keeps_its_lines(text: str) -> None:
    masked, _ = mask_secrets(text)
    assert masked.count("\n") == text.count("\n")
    assert mask_secrets(masked)[0] == masked


_LINES = [
    *("[a]", "[b](a)", "k=v", "--;", "register=>u:p@h ; c"),
    *("secret=x", "secret = x ;-- c", "secret=x --;", "secret=x;y", "secret=a;--b"),
    *(";-- secret=x", "; secret=x ;-- y", "; password: x --;"),
]


@given(st.lists(st.sampled_from(_LINES), max_size=12))
def test_a_masked_file_is_read_as_before(lines: list[str]) -> None:
    text = "\n".join(lines)
    masked, _ = mask_secrets(text)
    before, after = parse_asterisk(text, "f"), parse_asterisk(masked, "f")
    assert before.files[0].kinds == after.files[0].kinds
    assert [(found.place, found.fault) for found in before.deviations] == [
        (found.place, found.fault) for found in after.deviations
    ]
    for one, other in zip(before.sections, after.sections, strict=True):
        assert (one.name, one.templates) == (other.name, other.templates)
        assert [(found.name, found.place) for found in one.variables] == [
            (found.name, found.place) for found in other.variables
        ]


@pytest.mark.parametrize(
    "text",
    [
        "secret" * 60_000,
        "x" * 400_000,
        "sip:" * 100_000,
        "sip:a:" * 60_000,
        '<param name="password" value="' * 12_000,
        'name="password" ' * 20_000 + "<",
        "<" + 'name="password" ' * 20_000,
        "secret = " * 40_000,
        "<" + "secret = " * 40_000,
        "auth=" * 70_000,
        "a." * 200_000,
        "<password>x</password>" * 20_000,
    ],
)
def test_long_texts_are_masked_to_their_end(text: str) -> None:
    masked, _ = mask_secrets(text)
    assert masked.count("\n") == 0
