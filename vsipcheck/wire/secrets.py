"""The text of a configuration without its passwords."""

from __future__ import annotations

import re
from collections.abc import Callable

# Must not be markup, for it stands in XML attributes, nor a comment to Asterisk.
MASK = "********"

# What a name has in it whose value is a secret: secret, md5secret, remotesecret, password, vm-password, dbpass,
# md5_cred, a1-hash, tls-passphrase, refresh_token, odbc-dsn (which holds user and password) ... Not so the paths of
# key files (tlsprivatekey, priv_key_file), nor bypass-media.
_WORD = (
    r"(?:secret|passw(?:or)?d|passphrase|passcode|md5_?cred|a1-hash|token|pwd|api[_-]?key"
    r"|access_?key|credentials?|(?<![a-z])(?:admin|user)?[_-]?pin(?![\w-])|(?<!by)pass(?![\w-])"
    r"|(?<![a-z])dsn(?![\w-]))"
)
_NAME = rf"[\w./-]{{0,64}}?{_WORD}[\w-]{{0,64}}"

# "name = value", "name=>value", "name += value" anywhere on a line, in a comment too; in prose also "name: value" and
# "name is value".
_ASSIGNED = re.compile(
    rf"(?<![\w./-]){_NAME}[ \t]{{0,64}}(?P<sign>\+?=>?|:(?!//)|[ \t]is[ \t:])[ \t]{{0,64}}", re.IGNORECASE
)
# "register => user:secret@host", "auth = user:secret@realm", "auth = user#md5@realm".
_LOGIN = re.compile(r"(?<![\w./-])(?:register|auth)[ \t]{0,64}=>?[ \t]{0,64}", re.IGNORECASE)
# "sip:user:secret@host", but neither "sip:host:5060,sip:user@host" nor "sip:host:5060;user=phone@..."; and
# "https://user:secret@host".
_URI = re.compile(
    r"(?P<head>(?:\bsips?:|\b[a-z][a-z0-9+.-]{1,16}://)[^\s:@/;,<>\"']{0,256}:)(?!\d{1,5}[,;?])"
    r"(?P<secret>[^\s<>\"']{1,256})(?=@)",
    re.IGNORECASE,
)
# "Authorization: Bearer TOKEN", "curl -u user:secret", "Authenticate(1234)", and a mailbox: "1234 => PIN,Name".
_TOLD = re.compile(
    r"(?P<head>\bauthorization\W{1,8}(?:bearer|basic|digest)?[ \t]{1,8}|[ \t]-u[ \t]{0,8}[^\s:]{1,64}:"
    r"|\bauthenticate[ \t]{0,8}\(|^[ \t]{0,8}\d{1,16}[ \t]{0,8}=>?[ \t]{0,8}(?=-?\d{1,16}[ \t]{0,8}(?:[,|]|$)))"
    r"(?P<secret>[^\s,|()'\"<>]{1,1024})",
    re.IGNORECASE,
)

# XML: `<param name="password" value="..."/>`, in any order, over several lines, in a comment that has lost its "<" too.
_NAMED = re.compile(rf"\bname\s{{0,64}}=\s{{0,64}}([\"'])\s{{0,64}}{_NAME}\s{{0,64}}\1", re.IGNORECASE)
_TEXT = re.compile(
    rf"(?P<head><{_NAME}(?:\s[^<>]{{0,256}})?>|<[^<>]{{0,64}}\bname\s{{0,64}}=\s{{0,64}}[\"']{_NAME}[\"'][^<>]{{0,256}}(?<!/)>)"
    r"(?P<secret>[^<>]{1,1024})(?=</)",
    re.IGNORECASE,
)
_VALUE = re.compile(r"\bvalue\s{0,64}=\s{0,64}([\"'])", re.IGNORECASE)
_TAG_REACH = 1024  # characters around the name in which its value stands, so that time stays linear in the text


def mask_secrets(text: str) -> tuple[str, int]:
    """The text with every password replaced by `MASK`, and how many were. No line moves or disappears.

    For Asterisk's files and FreeSWITCH's XML alike, in comments too. Masking masked text changes nothing and counts
    nothing. What begins or ends a comment stays, so that the text is read as before.
    """
    is_xml = text.lstrip("\ufeff\u00ef\u00bb\u00bf \t\r\n").startswith("<")
    text, tagged = _mask_tags(text)  # also where files were put together, and another kind comes first
    text, assigned = _mask_lines(text, _xml_end if is_xml else _asterisk_end)
    return text, tagged + assigned


def _mask_lines(text: str, find_end: Callable[[str, int], int]) -> tuple[str, int]:
    lines = text.split("\n")
    count = 0
    for number, line in enumerate(lines):
        masked, found = _mask_line(line, find_end)
        if found:
            lines[number] = masked
            count += found
    return "\n".join(lines), count


def _mask_tags(text: str) -> tuple[str, int]:
    pieces: list[str] = []
    count = at = 0
    for name in _NAMED.finditer(text):
        begin, end = _find_value(text, name.start(), name.end())
        value = text[begin:end]
        if begin < at or not value.strip() or value.strip() == MASK:
            continue
        pieces += [text[at:begin], MASK, "\n" * value.count("\n")]
        at = end
        count += 1
    pieces.append(text[at:])
    text = "".join(pieces)
    count += sum(match["secret"].strip() not in ("", MASK) for match in _TEXT.finditer(text))
    return _TEXT.sub(_mask_text, text), count


def _mask_text(match: re.Match[str]) -> str:
    """The tag with the mask in place of the text in it; where that is blank, or the mask, it stays."""
    secret = match["secret"]
    return match[0] if secret.strip() in ("", MASK) else match["head"] + MASK + "\n" * secret.count("\n")


def _find_value(text: str, begin: int, end: int) -> tuple[int, int]:
    """Where the value of the tag is whose name stands from `begin` to `end`; an empty span where it has none."""
    after = text.find("<", end, end + _TAG_REACH)
    match = _VALUE.search(text, end, after if after >= 0 else end + _TAG_REACH)
    if match is None:
        before = text.rfind("<", max(0, begin - _TAG_REACH), begin)
        match = _VALUE.search(text, max(before, begin - _TAG_REACH, 0), begin)
    if match is None:
        return end, end
    closing = text.find(match[1], match.end(), match.end() + _TAG_REACH)
    if closing < 0:
        closing = text.find("\n", match.end())
    return match.end(), closing if closing >= 0 else len(text)


def _mask_line(line: str, find_end: Callable[[str, int], int]) -> tuple[str, int]:
    pieces: list[str] = []
    count = at = 0
    assigned, login = _ASSIGNED.search(line), _LOGIN.search(line)
    while assigned is not None or login is not None:
        if assigned is not None and assigned.start() < at:
            assigned = _ASSIGNED.search(line, at)
            continue
        if login is not None and login.start() < at:
            login = _LOGIN.search(line, at)
            continue
        first = assigned if login is None or (assigned is not None and assigned.start() < login.start()) else login
        assert first is not None
        begin = first.end()
        end = max(begin, find_end(line, begin))
        if first is login:
            hidden = _mask_login(line[begin:end])
        else:
            if "=" not in first["sign"]:  # prose: one word
                end = begin + len(line[begin:end].split(maxsplit=1)[0]) if line[begin:end].strip() else begin
            hidden = _mask_value(line[begin:end])
        count += hidden != line[begin:end]
        pieces += [line[at:begin], hidden]
        at = end
    pieces.append(line[at:])
    line = "".join(pieces)
    for pattern in (_URI, _TOLD):
        count += sum(match["secret"] != MASK for match in pattern.finditer(line))
        line = pattern.sub(lambda match: match["head"] + MASK, line)
    return line, count


def _mask_value(value: str) -> str:
    """The mask in place of the value, with the quotes and the blanks around it; an empty value stays."""
    bare = value.strip()
    inside = bare[1:-1] if len(bare) > 1 and bare[0] in "\"'" and bare[0] == bare[-1] else bare
    if not inside.strip():
        return value
    head, _, tail = value.partition(inside)
    return head + MASK + tail


def _mask_login(value: str) -> str:
    """`[peer?][transport://]user[@domain]:secret[:authuser]@host` with all between the first colon and the last "@"."""
    host = value.rfind("@")
    login = value if host < 0 else value[:host]
    scheme = login.find("://")
    begin = scheme + 3 if scheme >= 0 else 0
    marks = [place for place in (login.find(":", begin), login.find("#", begin)) if place >= 0]
    if not marks:
        return value
    begin = min(marks) + 1
    hidden = _mask_value(login[begin:])
    return login[:begin] + hidden + value[len(login) :]


def _asterisk_end(line: str, begin: int) -> int:
    """Where the value ends: at the line's end, at what opens or closes a block comment, or at a comment after a blank.

    A ";" right behind other characters is taken for part of the password by the one who wrote it, if not by Asterisk.
    """
    at = begin
    while (at := line.find(";", at)) >= 0:
        if line.startswith("--", at + 1):
            return at
        if at - 2 >= begin and line[at - 2 : at] == "--":
            return at - 2
        if line[at - 1] in " \t":
            return at
        at += 1
    return len(line)


_OPENING = re.compile(r"=\s{0,64}([\"'])")
_XML_END = re.compile(r"[\"'<>]|-->")


def _xml_end(line: str, begin: int) -> int:
    """Where the value ends: at the quote around it, at markup, or at the line's end."""
    for opened in _OPENING.finditer(line, max(0, begin - _TAG_REACH), begin):
        if line.find(opened[1], opened.end(), begin) < 0:  # within an attribute: quotes of the other kind are its own
            closing = line.find(opened[1], begin)
            return closing if closing >= 0 else len(line)
    opening = line[begin : begin + 1]
    if opening in ('"', "'"):
        closing = line.find(opening, begin + 1)
        return closing + 1 if closing >= 0 else len(line)
    match = _XML_END.search(line, begin)
    return match.start() if match else len(line)
