"""What the lint says of a trunk: a row for every verdict, and every diff mends what it is for."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from checks.config_lint import PROFILE, PUBLIC, SID, apply, lint, only
from hypothesis import given
from hypothesis import strategies as st

from vsipcheck.checklist import build_checklist
from vsipcheck.checks.config import check as config
from vsipcheck.model import Connection, FaultDomain, Lookup, Status

P, W, F, U, S = Status.PASS, Status.WARN, Status.FAIL, Status.UNKNOWN, Status.SKIP

SIP = f"""\
[general]
context = nobody
tcpenable = yes
tcpbindaddr = 0.0.0.0:5061
externaddr = {PUBLIC}
localnet = 192.168.0.0/16

[trunk]
type = peer
host = pstn.in2.exotel.com
port = 5070
transport = tcp
context = incoming
fromdomain = {SID}.pstn.exotel.com
disallow = all
allow = alaw
allow = ulaw
dtmfmode = rfc2833
nat = force_rport,comedia
insecure = port
directmedia = no
sendrpid = yes
trustrpid = yes

[trunk-b](trunk)
host = pstn.in4.exotel.com

[1001]
type = friend
host = dynamic
secret = abc123
context = phones
"""
PJSIP = f"""\
[tcp]
type = transport
protocol = tcp
bind = 0.0.0.0:5061
external_signaling_address = {PUBLIC}
external_media_address = {PUBLIC}
local_net = 10.0.0.0/8

[trunk]
type = aor
contact = sip:pstn.in2.exotel.com:5070\\;transport=tcp

[trunk]
type = endpoint
transport = tcp
context = incoming
disallow = all
allow = alaw,ulaw
aors = trunk
from_domain = {SID}.pstn.exotel.com
rtp_symmetric = yes
direct_media = no
send_pai = yes
trust_id_inbound = yes

[trunk]
type = identify
endpoint = trunk
match = pstn.in2.exotel.com,pstn.in4.exotel.com
match = 182.76.143.61,122.15.8.184,14.194.10.247,61.246.82.75

[1001]
type = endpoint
allow = opus
context = phones
"""
XML = f"""\
<profile name="external">
  <gateways>
    <gateway name="trunk">
      <param name="proxy" value="pstn.in2.exotel.com:5070"/>
      <param name="register" value="false"/>
      <param name="register-transport" value="tcp"/>
      <param name="from-domain" value="{SID}.pstn.exotel.com"/>
      <param name="caller-id-in-from" value="true"/>
    </gateway>
  </gateways>
  <settings>
    <param name="context" value="incoming"/>
    <param name="sip-port" value="5061"/>
    <param name="inbound-codec-prefs" value="PCMA,PCMU"/>
    <param name="outbound-codec-prefs" value="PCMA,PCMU"/>
    <param name="ext-sip-ip" value="{PUBLIC}"/>
    <param name="ext-rtp-ip" value="{PUBLIC}"/>
    <param name="dtmf-type" value="rfc2833"/>
    <param name="auth-calls" value="false"/>
  </settings>
</profile>
"""
TEXTS = {"sip.conf": SIP, "pjsip.conf": PJSIP, "external.xml": XML}

# file, what is written otherwise, id, status, reason. The text to change is None where a line is put behind another.
Row = tuple[str, tuple[tuple[str, str], ...], str, Status, str]


def param(name: str, value: str) -> str:
    return f'<param name="{name}" value="{value}"/>'


ROWS: list[Row] = [
    # where calls go
    ("sip.conf", (), "config.peer", P, "as_the_guide"),
    ("sip.conf", (("port = 5070\n", ""),), "config.peer", F, "wrong_port"),
    (
        "sip.conf",
        (("host = pstn.in2.exotel.com\nport = 5070", "host = pstn.in2.exotel.com:5070"),),
        "config.peer",
        F,
        "port_in_host",
    ),
    ("sip.conf", (("transport = tcp\n", ""),), "config.peer", F, "not_tcp"),
    ("sip.conf", (("transport = tcp\n", "transport = udp,tcp\n"),), "config.peer", F, "not_tcp"),
    ("sip.conf", (("transport = tcp\n", "transport = tcp,udp\n"),), "config.peer", P, "as_the_guide"),
    ("sip.conf", (("host = pstn.in2.exotel.com", "host = 182.76.143.61"),), "config.peer", F, "media_address"),
    ("sip.conf", (("host = pstn.in2.exotel.com", "host = pstn.sgp1.exotel.com"),), "config.peer", W, "other_name"),
    ("sip.conf", (("host = pstn.in2.exotel.com", "host = sbc.acme.example"),), "config.peer", F, "other_host"),
    ("sip.conf", (("host = pstn.in2.exotel.com", "host = 9.9.9.9"),), "config.peer", W, "literal_address"),
    ("sip.conf", (("host = pstn.in2.exotel.com", "host = dynamic"),), "config.peer", F, "dynamic_host"),
    (
        "sip.conf",
        (("insecure", "outboundproxy = tcp://pstn.in2.exotel.com:5070,force\ninsecure"),),
        "config.peer",
        P,
        "as_the_guide",
    ),
    (
        "sip.conf",
        (("insecure", "outboundproxy = udp://pstn.in2.exotel.com:5070\ninsecure"),),
        "config.peer",
        F,
        "not_tcp",
    ),
    ("sip.conf", (("host = pstn.in2.exotel.com", "host = 10.0.0.9"),), "config.peer", U, "through_a_relay"),
    ("pjsip.conf", (), "config.peer", P, "as_the_guide"),
    ("pjsip.conf", (("\\;transport=tcp", ";transport=tcp"),), "config.peer", F, "not_tcp"),
    ("pjsip.conf", (("\\;transport=tcp", ""),), "config.peer", F, "not_tcp"),
    ("pjsip.conf", (("\\;transport=tcp", "\\;transport=tls"),), "config.peer", F, "not_tcp"),
    ("pjsip.conf", ((":5070", ""),), "config.peer", F, "wrong_port"),
    ("pjsip.conf", (("aors = trunk\n", "aors = elsewhere\n"),), "config.peer", U, "not_read"),
    ("pjsip.conf", (("aors = trunk\n", ""),), "config.peer", W, "no_aor"),
    (
        "pjsip.conf",
        (("contact = sip:pstn.in2.exotel.com:5070\\;transport=tcp", "max_contacts = 1"),),
        "config.peer",
        F,
        "dynamic_host",
    ),
    ("pjsip.conf", (("send_pai", "match = 9.9.9.9\nsend_pai"),), "config.peer", F, "object_refused"),
    ("pjsip.conf", (("send_pai", "qualify_frequency = 60\nsend_pai"),), "config.peer", F, "object_refused"),
    ("pjsip.conf", (("send_pai", "nat = force_rport\nMatch = 9.9.9.9\nsend_pai"),), "config.peer", F, "object_refused"),
    ("pjsip.conf", (("send_pai", "direct_mdia = no\nsend_pai"),), "config.peer", W, "unknown_option"),
    (
        "pjsip.conf",
        (("send_pai", "rtp_port_start = 10000\nrtp_port_end = 20000\nmax_text_streams = 0\nsend_pai"),),
        "config.peer",
        P,
        "as_the_guide",
    ),
    ("pjsip.conf", (("send_pai", "@mine = 1\nsend_pai"),), "config.peer", P, "as_the_guide"),
    ("pjsip.conf", (("type = aor\n", "type = aor\ntransport = tcp\n"),), "config.peer", F, "object_refused"),
    (
        "pjsip.conf",
        ((":5070\\;transport=tcp", ""), ("send_pai", "contact = sip:a\nsend_pai")),
        "config.peer",
        F,
        "object_refused",  # and the port: one diff mends both
    ),
    ("pjsip.conf", (("[1001]", "[trunk]\ntype = endpoint\n[1001]"),), "config.peer", F, "duplicate_object"),
    ("pjsip.conf", (("[1001]", "[Trunk]\ntype = endpoint\n[1001]"),), "config.peer", P, "as_the_guide"),
    ("pjsip.conf", (("[1001]", "[1001]\ntype = endpoint\n[1001]"),), "config.peer", F, "duplicate_object"),
    (
        "pjsip.conf",
        (("type = endpoint\ntransport", "type = endpoint\ntype = aor\ntransport"),),
        "config.peer",
        P,
        "as_the_guide",
    ),
    (
        "pjsip.conf",
        (("transport = tcp", "transport = udp"), ("[1001]", "[udp]\ntype = transport\nprotocol = udp\n[1001]")),
        "config.peer",
        F,
        "transport_mismatch",
    ),
    (
        "pjsip.conf",
        (
            ("transport = tcp", "transport = udp"),
            ("[1001]", "[udp]\ntype = transport\nprotocol = udp\n[1001]"),
            ("\\;transport=tcp", ""),
        ),
        "config.peer",
        F,
        "not_tcp",
    ),
    ("pjsip.conf", (("transport = tcp", "transport = elsewhere"),), "config.peer", U, "transport_unread"),
    ("pjsip.conf", (("transport = tcp\n", ""),), "config.peer", P, "as_the_guide"),
    (
        "pjsip.conf",
        (("send_pai", "outbound_proxy = sip:pstn.in2.exotel.com:5070\\;transport=tcp\nsend_pai"),),
        "config.peer",
        F,
        "strict_route",
    ),
    (
        "pjsip.conf",
        (("send_pai", "outbound_proxy = sip:pstn.in2.exotel.com:5070\\;transport=tcp\\;lr\nsend_pai"),),
        "config.peer",
        P,
        "as_the_guide",
    ),
    (
        "pjsip.conf",
        (("send_pai", "outbound_proxy = sip:pstn.in2.exotel.com:5070\\;transport=tcp;lr\nsend_pai"),),
        "config.peer",
        F,
        "strict_route",
    ),
    ("external.xml", (), "config.peer", P, "as_the_guide"),
    ("external.xml", ((":5070", ""),), "config.peer", F, "wrong_port"),
    ("external.xml", (("pstn.in2.exotel.com:5070", "$${proxy}"),), "config.peer", U, "not_read"),
    ("external.xml", (("      " + param("register-transport", "tcp") + "\n", ""),), "config.peer", F, "not_tcp"),
    (
        "external.xml",
        ((param("register-transport", "tcp"), ""), (":5070", ":5070;transport=tcp")),
        "config.peer",
        W,
        "contact_transport",
    ),
    # where calls come in
    ("sip.conf", (), "config.listener", P, "serves_tcp"),
    ("sip.conf", (("tcpenable = yes\n", ""),), "config.listener", F, "tcp_disabled"),
    (
        "sip.conf",
        (("tcpenable = yes", "tcpenable = no"), ("tcpbindaddr = 0.0.0.0:5061\n", "")),
        "config.listener",
        F,
        "tcp_disabled",
    ),
    ("sip.conf", (("tcpbindaddr = 0.0.0.0:5061", "tcpbindaddr = 0.0.0.0"),), "config.listener", W, "other_port"),
    ("sip.conf", (("tcpbindaddr = 0.0.0.0:5061", "bindport = 5061"),), "config.listener", P, "serves_tcp"),
    ("sip.conf", (("tcpbindaddr = 0.0.0.0:5061", "externtcpport = 5061"),), "config.listener", P, "serves_tcp"),
    ("pjsip.conf", (), "config.listener", P, "serves_tcp"),
    ("pjsip.conf", (("[tcp]", "[tcp]\ncontext = a"),), "config.listener", F, "object_refused"),
    ("pjsip.conf", (("[tcp]", "[tcp]\nextrnal_address = a"),), "config.listener", W, "unknown_option"),
    ("pjsip.conf", (("local_net", "localnet"),), "config.listener", F, "object_refused"),  # that is chan_sip's
    (
        "pjsip.conf",
        (("[trunk]", "[tcp]\ntype = transport\nprotocol = tcp\n[trunk]"),),
        "config.listener",
        F,
        "duplicate_object",
    ),
    ("pjsip.conf", (("protocol = tcp", "protocol = udp"),), "config.listener", F, "tcp_disabled"),
    ("pjsip.conf", (("0.0.0.0:5061", "0.0.0.0"),), "config.listener", W, "other_port"),
    ("pjsip.conf", (("type = transport", "type = unread"),), "config.listener", U, "not_read"),
    ("external.xml", (), "config.listener", P, "serves_tcp"),
    ("external.xml", ((param("sip-port", "5061"), param("sip-port", "5080")),), "config.listener", W, "other_port"),
    (
        "external.xml",
        ((param("auth-calls", "false"), param("bind-params", "transport=udp")),),
        "config.listener",
        F,
        "tcp_disabled",
    ),
    (
        "external.xml",
        ((param("auth-calls", "false"), param("tls-only", "true")),),
        "config.listener",
        F,
        "tcp_disabled",
    ),
    ("external.xml", ((param("sip-port", "5061"), param("sip-port", "$${p}")),), "config.listener", U, "not_read"),
    # registration and passwords
    ("sip.conf", (), "config.registration", P, "static_peer"),
    (
        "sip.conf",
        (("localnet", "register => me:abc123@pstn.in2.exotel.com/77\nlocalnet"),),
        "config.registration",
        F,
        "registers",
    ),
    (
        "sip.conf",
        (("localnet", "register => me@pstn.in2.exotel.com\nlocalnet"),),
        "config.registration",
        F,
        "registers",
    ),
    (
        "sip.conf",
        (("localnet", "register => me:abc123@other.example\nlocalnet"),),
        "config.registration",
        P,
        "static_peer",
    ),
    ("sip.conf", (("insecure", "callbackextension = 77\ninsecure"),), "config.registration", F, "registers"),
    ("sip.conf", (("insecure", "secret = abc123\ninsecure"),), "config.registration", F, "asks_for_password"),
    (
        "sip.conf",
        (("insecure = port", "secret = abc123\ninsecure = port,invite"),),
        "config.registration",
        W,
        "has_credentials",
    ),
    (
        "sip.conf",
        (("insecure = port", "secret = abc123\ninsecure = very"),),
        "config.registration",
        F,
        "asks_for_password",
    ),
    ("sip.conf", (("insecure", "remotesecret = abc123\ninsecure"),), "config.registration", W, "has_credentials"),
    ("pjsip.conf", (), "config.registration", P, "static_peer"),
    (
        "pjsip.conf",
        (("[tcp]", "[r]\ntype = registration\nserver_uri = sip:pstn.in2.exotel.com:5070\n\n[tcp]"),),
        "config.registration",
        F,
        "registers",
    ),
    (
        "pjsip.conf",
        (("[tcp]", "[r]\ntype = registration\nserver_uri = sip:other.example\n\n[tcp]"),),
        "config.registration",
        P,
        "static_peer",
    ),
    ("pjsip.conf", (("send_pai", "auth = a\nsend_pai"),), "config.registration", F, "asks_for_password"),
    ("pjsip.conf", (("send_pai", "outbound_auth = a\nsend_pai"),), "config.registration", W, "has_credentials"),
    ("external.xml", (), "config.registration", P, "static_peer"),
    ("external.xml", (("      " + param("register", "false") + "\n", ""),), "config.registration", F, "registers"),
    ("external.xml", ((param("register", "false"), param("register", "true")),), "config.registration", F, "registers"),
    (
        "external.xml",
        ((param("register", "false"), param("register", "false") + "\n      " + param("password", "abc123")),),
        "config.registration",
        W,
        "has_credentials",
    ),
    # whose calls these are
    ("sip.conf", (), "config.identification", P, "by_address"),
    (
        "sip.conf",
        (("[trunk-b](trunk)\nhost = pstn.in4.exotel.com\n", ""),),
        "config.identification",
        W,
        "part_of_the_pops",
    ),
    ("pjsip.conf", (), "config.identification", P, "by_address"),
    ("pjsip.conf", ((",pstn.in4.exotel.com", ""),), "config.identification", W, "part_of_the_pops"),
    (
        "pjsip.conf",
        (("match = 182.76.143.61,122.15.8.184,14.194.10.247,61.246.82.75\n", ""),),
        "config.identification",
        W,
        "media_regions",
    ),
    ("pjsip.conf", (("61.246.82.75", "61.246.0.0/16"),), "config.identification", P, "by_address"),
    ("pjsip.conf", ((",pstn.in4.exotel.com", ",9.9.9.0/24"),), "config.identification", U, "addresses_unknown"),
    (
        "pjsip.conf",
        (("match = pstn.in2.exotel.com,pstn.in4.exotel.com\n", ""),),
        "config.identification",
        W,
        "part_of_the_pops",
    ),
    ("pjsip.conf", (("type = identify", "type = unread"),), "config.identification", F, "not_identified"),
    ("pjsip.conf", (("send_pai", "identify_by = username\nsend_pai"),), "config.identification", W, "ip_not_named"),
    ("pjsip.conf", (("send_pai", "identify_by = ip\nsend_pai"),), "config.identification", P, "by_address"),
    (
        "pjsip.conf",
        (("match = pstn.in2.exotel.com,", "match = pstn.in2.exotel.com:5070,"),),
        "config.identification",
        F,
        "port_in_match",
    ),
    (
        "pjsip.conf",
        (("endpoint = trunk\n", "endpoint = trunk\ncontext = a\n"),),
        "config.identification",
        F,
        "object_refused",
    ),
    (
        "pjsip.conf",
        (("[1001]", "[a]\ntype = acl\ndeny = 0.0.0.0/0\npermit = 0.0.0.0/0\n[1001]"),),
        "config.identification",
        P,
        "by_address",
    ),
    (
        "pjsip.conf",
        (("[1001]", "[a]\ntype = acl\ndeny = 0.0.0.0/0.0.0.0\npermit = 10.0.0.0/8\n[1001]"),),
        "config.identification",
        U,
        "addresses_unknown",
    ),
    ("pjsip.conf", (("[1001]", "[a]\ntype = acl\nacl = trunks\n[1001]"),), "config.identification", U, "not_read"),
    (
        "sip.conf",
        (("insecure", "deny = 0.0.0.0/0.0.0.0\npermit = 10.0.0.0/8\ninsecure"),),
        "config.identification",
        U,
        "addresses_unknown",
    ),
    (
        "sip.conf",
        (("insecure", "deny = 0.0.0.0/0.0.0.0\npermit = 0.0.0.0/0.0.0.0\ninsecure"),),
        "config.identification",
        P,
        "by_address",
    ),
    (
        "pjsip.conf",
        (("type = identify", "type = unread"), ("[1001]", "[anonymous]\ntype = endpoint\n[1001]")),
        "config.identification",
        W,
        "as_a_guest",
    ),
    (
        "pjsip.conf",
        (("match = pstn.in2.exotel.com,pstn.in4.exotel.com", "match_header = X-Exotel-TrunkSid: /./"),),
        "config.identification",
        U,
        "known_otherwise",
    ),
    (
        "pjsip.conf",
        (("match = pstn.in2.exotel.com,pstn.in4.exotel.com", "transport = tcp"), ("match = 182", ";")),
        "config.identification",
        U,
        "known_otherwise",
    ),
    ("external.xml", (), "config.identification", P, "anybody"),
    (
        "external.xml",
        ((param("auth-calls", "false"), param("auth-calls", "true")),),
        "config.identification",
        F,
        "never_matches",
    ),
    (
        "external.xml",
        ((param("auth-calls", "false"), param("apply-inbound-acl", "unseen")),),
        "config.identification",
        U,
        "not_read",
    ),
    # the domain
    ("sip.conf", (), "config.domain", P, "own_domain"),
    ("sip.conf", ((f"fromdomain = {SID}.pstn.exotel.com\n", ""),), "config.domain", F, "no_domain"),
    ("sip.conf", ((f"fromdomain = {SID}", "fromdomain = other9"),), "config.domain", F, "other_domain"),
    ("sip.conf", ((f"fromdomain = {SID}", "fromdomain = <accountsid>"),), "config.domain", F, "placeholder"),
    ("pjsip.conf", (), "config.domain", P, "own_domain"),
    ("pjsip.conf", ((f"from_domain = {SID}.pstn.exotel.com\n", ""),), "config.domain", F, "no_domain"),
    ("external.xml", (), "config.domain", P, "own_domain"),
    ("external.xml", ((param("from-domain", f"{SID}.pstn.exotel.com"), ""),), "config.domain", F, "no_domain"),
    ("external.xml", ((f"{SID}.pstn", "pstn"),), "config.domain", F, "other_domain"),
    # the caller ID
    ("sip.conf", (), "config.caller_id", P, "identity_exchanged"),
    ("sip.conf", (("sendrpid = yes", "sendrpid = pai"),), "config.caller_id", P, "identity_exchanged"),
    ("sip.conf", (("trustrpid = yes\n", ""),), "config.caller_id", W, "identity_not_exchanged"),
    ("sip.conf", (("insecure", "fromuser = acme\ninsecure"),), "config.caller_id", F, "user_is_no_number"),
    ("sip.conf", (("insecure", "fromuser = +918012345678\ninsecure"),), "config.caller_id", P, "identity_exchanged"),
    ("pjsip.conf", (), "config.caller_id", P, "identity_exchanged"),
    ("pjsip.conf", (("send_pai = yes", "send_rpid = yes"),), "config.caller_id", P, "identity_exchanged"),
    ("pjsip.conf", (("send_pai = yes\n", ""),), "config.caller_id", W, "identity_not_exchanged"),
    ("pjsip.conf", (("send_pai = yes\n", "from_user = acme\n"),), "config.caller_id", F, "user_is_no_number"),
    ("external.xml", (), "config.caller_id", P, "caller_id_in_from"),
    (
        "external.xml",
        (("      " + param("caller-id-in-from", "true") + "\n", ""),),
        "config.caller_id",
        F,
        "user_is_no_number",
    ),
    (
        "external.xml",
        ((param("caller-id-in-from", "true"), param("from-user", "+918012345678")),),
        "config.caller_id",
        P,
        "caller_id_in_from",
    ),
    # codecs
    ("sip.conf", (), "config.codec_order", P, "as_the_guide"),
    ("sip.conf", (("allow = alaw\nallow = ulaw", "allow = ulaw,alaw"),), "config.codec_order", W, "other_order"),
    ("sip.conf", (("disallow = all\n", ""),), "config.codec_order", W, "other_order"),
    ("sip.conf", (("disallow = all\nallow = alaw\nallow = ulaw\n", ""),), "config.codec_order", W, "no_list"),
    ("sip.conf", (("allow = ulaw\n", ""),), "config.codec_order", W, "part_of_g711"),
    ("sip.conf", (("allow = alaw\nallow = ulaw", "allow = g729"),), "config.codec_order", F, "no_g711"),
    ("sip.conf", (("allow = alaw\nallow = ulaw", "allow = alaw&ulaw"),), "config.codec_order", F, "no_g711"),
    ("sip.conf", (("allow = alaw\nallow = ulaw", "allow = all"),), "config.codec_order", W, "everything"),
    ("sip.conf", (("allow = ulaw\n", "allow = ulaw\nallow = g729\n"),), "config.codec_order", P, "as_the_guide"),
    (
        "sip.conf",
        (
            ("disallow = all\nallow = alaw\nallow = ulaw\n", ""),
            ("localnet", "disallow = all\nallow = alaw,ulaw\nlocalnet"),
        ),
        "config.codec_order",
        P,
        "as_the_guide",
    ),
    ("pjsip.conf", (), "config.codec_order", P, "as_the_guide"),
    ("pjsip.conf", (("alaw,ulaw", "ulaw,alaw"),), "config.codec_order", W, "other_order"),
    ("pjsip.conf", (("disallow = all\n", ""),), "config.codec_order", P, "as_the_guide"),  # nothing is allowed before
    ("pjsip.conf", (("disallow = all\nallow = alaw,ulaw\n", ""),), "config.codec_order", F, "no_g711"),
    ("pjsip.conf", (("alaw,ulaw", "alaw,ulaw,G711A"),), "config.codec_order", F, "unknown_codec"),
    ("pjsip.conf", (("alaw,ulaw", "alaw,ulaw,g729&gsm"),), "config.codec_order", F, "unknown_codec"),
    ("pjsip.conf", (("alaw,ulaw", "alaw,ulaw,lyra"),), "config.codec_order", W, "unknown_codec"),
    ("sip.conf", (("allow = ulaw\n", "allow = ulaw\nallow = PCMA\n"),), "config.codec_order", P, "as_the_guide"),
    ("pjsip.conf", (("alaw,ulaw", "!all,alaw,ulaw"),), "config.codec_order", P, "as_the_guide"),
    ("external.xml", (), "config.codec_order", P, "as_the_guide"),
    ("external.xml", (("PCMA,PCMU", "OPUS,PCMU,PCMA@8000h@20i"),), "config.codec_order", W, "other_order"),
    ("external.xml", (("PCMA,PCMU", "G729"),), "config.codec_order", F, "no_g711"),
    ("external.xml", (("PCMA,PCMU", "$${codecs}"),), "config.codec_order", U, "not_read"),
    (
        "external.xml",
        (
            ("    " + param("inbound-codec-prefs", "PCMA,PCMU") + "\n", ""),
            ("    " + param("outbound-codec-prefs", "PCMA,PCMU") + "\n", ""),
        ),
        "config.codec_order",
        W,
        "no_list",
    ),
    # DTMF
    ("sip.conf", (("dtmfmode = rfc2833\n", ""),), "config.dtmf", P, "telephone_event"),
    ("sip.conf", (("dtmfmode = rfc2833", "dtmfmode = auto"),), "config.dtmf", P, "telephone_event"),
    ("sip.conf", (("dtmfmode = rfc2833", "dtmfmode = rfc-2833"),), "config.dtmf", P, "telephone_event"),
    ("sip.conf", (("dtmfmode = rfc2833", "dtmfmode = info"),), "config.dtmf", F, "not_telephone_event"),
    ("sip.conf", (("dtmfmode = rfc2833", "dtmfmode = inband"),), "config.dtmf", W, "inband"),
    ("pjsip.conf", (), "config.dtmf", P, "telephone_event"),
    ("pjsip.conf", (("send_pai", "dtmf_mode = info\nsend_pai"),), "config.dtmf", F, "not_telephone_event"),
    ("external.xml", (), "config.dtmf", P, "telephone_event"),
    (
        "external.xml",
        ((param("dtmf-type", "rfc2833"), param("dtmf-type", "info")),),
        "config.dtmf",
        F,
        "not_telephone_event",
    ),
    # NAT
    ("sip.conf", (), "config.nat", P, "symmetric"),
    ("sip.conf", (("nat = force_rport,comedia", "nat = yes"),), "config.nat", P, "symmetric"),
    ("sip.conf", (("nat = force_rport,comedia", "nat = force_rport"),), "config.nat", W, "no_symmetric_rtp"),
    ("sip.conf", (("nat = force_rport,comedia\n", ""),), "config.nat", W, "not_forced"),
    ("sip.conf", (("nat = force_rport,comedia", "nat = no"),), "config.nat", F, "nat_off"),
    (
        "sip.conf",
        (("nat = force_rport,comedia", "nat = no"), (f"externaddr = {PUBLIC}\n", "")),
        "config.nat",
        W,
        "not_forced",
    ),
    ("pjsip.conf", (), "config.nat", P, "symmetric"),
    ("pjsip.conf", (("rtp_symmetric = yes\n", ""),), "config.nat", W, "no_symmetric_rtp"),
    ("pjsip.conf", (("rtp_symmetric = yes", "force_rport = no\nrtp_symmetric = yes"),), "config.nat", W, "not_forced"),
    ("pjsip.conf", (("rtp_symmetric = yes", "force_rport = no"),), "config.nat", F, "nat_off"),
    ("external.xml", (), "config.nat", P, "symmetric"),
    (
        "external.xml",
        ((param("auth-calls", "false"), param("disable-rtp-auto-adjust", "true")),),
        "config.nat",
        W,
        "no_symmetric_rtp",
    ),
    # the address told outside
    ("sip.conf", (), "config.external_address", P, "as_measured"),
    ("sip.conf", ((f"externaddr = {PUBLIC}", f"externip = {PUBLIC}"),), "config.external_address", P, "as_measured"),
    (
        "sip.conf",
        ((f"externaddr = {PUBLIC}", f"externaddr = {PUBLIC}:5061"),),
        "config.external_address",
        P,
        "as_measured",
    ),
    ("sip.conf", ((f"externaddr = {PUBLIC}", "externaddr = 20.30.40.99"),), "config.external_address", F, "differs"),
    ("sip.conf", ((f"externaddr = {PUBLIC}", "externip = 192.168.1.5"),), "config.external_address", F, "not_public"),
    (
        "sip.conf",
        ((f"externaddr = {PUBLIC}", "externip = <your_public_ip>"),),
        "config.external_address",
        F,
        "placeholder",
    ),
    (
        "sip.conf",
        ((f"externaddr = {PUBLIC}", "externhost = pbx.dyndns.example"),),
        "config.external_address",
        W,
        "by_name",
    ),
    ("sip.conf", (("localnet = 192.168.0.0/16\n", ""),), "config.external_address", F, "no_local_networks"),
    ("sip.conf", ((f"externaddr = {PUBLIC}\n", ""),), "config.external_address", W, "perhaps_missing"),
    (
        "sip.conf",
        ((f"externaddr = {PUBLIC}\n", ""), ("0.0.0.0:5061", f"{PUBLIC}:5061")),
        "config.external_address",
        P,
        "no_nat",
    ),
    (
        "sip.conf",
        ((f"externaddr = {PUBLIC}\n", ""), ("0.0.0.0:5061", "192.168.0.9:5061")),
        "config.external_address",
        F,
        "missing",
    ),
    ("pjsip.conf", (), "config.external_address", P, "as_measured"),
    ("pjsip.conf", ((f"external_media_address = {PUBLIC}\n", ""),), "config.external_address", F, "incomplete"),
    ("pjsip.conf", ((f"external_signaling_address = {PUBLIC}\n", ""),), "config.external_address", F, "incomplete"),
    ("pjsip.conf", (("local_net = 10.0.0.0/8\n", ""),), "config.external_address", W, "no_local_networks"),
    (
        "pjsip.conf",
        (("local_net = 10.0.0.0/8", "local_net = 0.0.0.0/0"),),
        "config.external_address",
        F,
        "provider_is_local",
    ),
    (
        "sip.conf",
        (("localnet = 192.168.0.0/16", "localnet = 0.0.0.0/0.0.0.0"),),
        "config.external_address",
        F,
        "provider_is_local",
    ),
    ("pjsip.conf", (("0.0.0.0:5061", "192.168.0.9:5061"),), "config.external_address", F, "own_network_missing"),
    (
        "pjsip.conf",
        (("local_net = 10.0.0.0/8", "local_net = 10.0.0.0\\8"),),
        "config.external_address",
        W,
        "no_network",
    ),
    (
        "pjsip.conf",
        (("0.0.0.0:5061", "192.168.0.9:5061"), ("10.0.0.0/8", "10.0.0.0/8, 192.168.0.0/255.255.0.0")),
        "config.external_address",
        P,
        "as_measured",
    ),
    ("pjsip.conf", (("0.0.0.0:5061", "10.9.0.9:5061"),), "config.external_address", P, "as_measured"),
    ("sip.conf", (("0.0.0.0:5061", "10.9.0.9:5061"),), "config.external_address", P, "as_measured"),
    (
        "pjsip.conf",
        ((f"external_media_address = {PUBLIC}\n", ""), ("0.0.0.0:5061", f"{PUBLIC}:5061")),
        "config.external_address",
        P,
        "as_measured",
    ),
    (
        "pjsip.conf",
        (
            (f"external_signaling_address = {PUBLIC}\nexternal_media_address = {PUBLIC}\n", ""),
            ("[1001]", f"[udp]\ntype = transport\nprotocol = udp\nexternal_media_address = {PUBLIC}\n\n[1001]"),
        ),
        "config.external_address",
        F,
        "missing",
    ),
    ("pjsip.conf", (("type = transport", "type = unread"),), "config.external_address", U, "not_read"),
    ("external.xml", (), "config.external_address", P, "as_measured"),
    (
        "external.xml",
        ((f'ext-rtp-ip" value="{PUBLIC}', f'ext-rtp-ip" value="autonat:{PUBLIC}'),),
        "config.external_address",
        P,
        "as_measured",
    ),
    (
        "external.xml",
        ((f'ext-rtp-ip" value="{PUBLIC}', 'ext-rtp-ip" value="auto-nat'),),
        "config.external_address",
        U,
        "learned_at_start",
    ),
    (
        "external.xml",
        ((f'ext-rtp-ip" value="{PUBLIC}', 'ext-rtp-ip" value="stun:stun.example'),),
        "config.external_address",
        U,
        "learned_at_start",
    ),
    (
        "external.xml",
        ((f'ext-rtp-ip" value="{PUBLIC}', 'ext-rtp-ip" value="$${external_rtp_ip}'),),
        "config.external_address",
        U,
        "not_read",
    ),
    # the way of the audio
    ("sip.conf", (), "config.media_path", P, "through_the_pbx"),
    ("sip.conf", (("directmedia = no", "canreinvite = no"),), "config.media_path", P, "through_the_pbx"),
    ("sip.conf", (("directmedia = no", "canreinvite = yes"),), "config.media_path", F, "redirected"),
    ("sip.conf", (("directmedia = no\n", ""),), "config.media_path", F, "redirected"),
    ("sip.conf", (("directmedia = no", "directmedia = nonat"),), "config.media_path", W, "may_be_redirected"),
    (
        "sip.conf",
        (("directmedia = no\n", ""), (f"externaddr = {PUBLIC}\n", "")),
        "config.media_path",
        W,
        "may_be_redirected",
    ),
    ("sip.conf", (("directmedia", "encryption = yes\ndirectmedia"),), "config.media_path", F, "not_plain_rtp"),
    ("sip.conf", (("localnet", "encryption = yes\nlocalnet"),), "config.media_path", F, "not_plain_rtp"),
    (
        "pjsip.conf",
        (("direct_media", "media_encryption = sdes\ndirect_media"),),
        "config.media_path",
        F,
        "not_plain_rtp",
    ),
    (
        "pjsip.conf",
        (("direct_media", "media_encryption = sdes\nmedia_encryption_optimistic = yes\ndirect_media"),),
        "config.media_path",
        P,
        "through_the_pbx",
    ),
    ("pjsip.conf", (("direct_media", "webrtc = yes\ndirect_media"),), "config.media_path", F, "not_plain_rtp"),
    (
        "external.xml",
        (
            (
                "    </gateway>",
                '<variables>\n<variable name="rtp_secure_media" value="mandatory"/>\n</variables>\n    </gateway>',
            ),
        ),
        "config.media_path",
        F,
        "not_plain_rtp",
    ),
    ("pjsip.conf", (), "config.media_path", P, "through_the_pbx"),
    ("pjsip.conf", (("direct_media = no\n", ""),), "config.media_path", F, "redirected"),
    ("external.xml", (), "config.media_path", P, "through_the_pbx"),
    (
        "external.xml",
        ((param("auth-calls", "false"), param("inbound-bypass-media", "true")),),
        "config.media_path",
        F,
        "redirected",
    ),
    # where calls land
    ("sip.conf", (), "config.context", P, "own_context"),
    ("sip.conf", (("context = incoming\n", ""), ("context = nobody\n", "")), "config.context", W, "default_context"),
    ("sip.conf", (("type = peer", "type = user"),), "config.context", F, "no_peer"),
    ("pjsip.conf", (("context = incoming\n", ""),), "config.context", W, "default_context"),
    ("external.xml", (("    " + param("context", "incoming") + "\n", ""),), "config.context", W, "default_context"),
    # what was not given
    ("sip.conf", (), "config.rtp_range", U, "not_read"),
    ("external.xml", (), "config.rtp_range", U, "not_read"),
    ("sip.conf", (), "config.call_rate", U, "not_seen"),
    ("sip.conf", (("insecure", "call-limit = 30\ninsecure"),), "config.call_rate", U, "concurrent_only"),
    ("external.xml", (), "config.call_rate", U, "not_seen"),
    ("sip.conf", (), "config.logging", U, "dialplan_not_given"),
    ("external.xml", (), "config.logging", U, "dialplan_not_given"),
    ("sip.conf", (("tcpenable", "sipdebug = yes\ntcpenable"),), "config.logging", P, "traced"),
    ("pjsip.conf", (("[tcp]", "[global]\ntype = global\ndebug = yes\n\n[tcp]"),), "config.logging", P, "traced"),
    (
        "pjsip.conf",
        (("[tcp]", "[global]\ntype = global\ndebug = yes\n\n[global]\ntype = global\n\n[tcp]"),),
        "config.logging",
        U,
        "dialplan_not_given",
    ),
    ("external.xml", ((param("auth-calls", "false"), param("sip-trace", "yes")),), "config.logging", P, "traced"),
    # which driver
    ("sip.conf", (), "config.channel_driver", W, "removed_in_21"),
    ("pjsip.conf", (), "config.channel_driver", P, "present"),
    ("sip.conf", (), "config.files", P, "read"),
]

# What no line of the trunk mends: another party's word, another file, or a decision that is the customer's.
NO_DIFF = {
    ("config.channel_driver", "removed_in_21"),
    ("config.registration", "asks_for_password"),
    ("config.registration", "has_credentials"),
    ("config.context", "default_context"),
    ("config.external_address", "not_read"),
}


def changed(path: str, edits: tuple[tuple[str, str], ...]) -> str:
    text = TEXTS[path]
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new, 1) if old != "PCMA,PCMU" else text.replace(old, new)
    return text


def told(files: Mapping[str, str], finding_id: str, target: str, **settings: object) -> tuple[Status, str]:
    found = only(lint(files, **{"account_sid": SID, "public_address": PUBLIC, **settings}), finding_id, target)
    return found.status, found.reason


@pytest.mark.parametrize(
    ("path", "edits", "finding_id", "status", "reason"),
    ROWS,
    ids=[f"{r[0]}-{r[2]}-{r[4]}-{n}" for n, r in enumerate(ROWS)],
)
def test_verdicts(path: str, edits: tuple[tuple[str, str], ...], finding_id: str, status: Status, reason: str) -> None:
    text = changed(path, edits)
    of_file = ("config.files", "config.channel_driver", "config.rtp_range")
    target = path if finding_id in of_file else f"{path} [trunk]"
    findings = lint({path: text}, account_sid=SID, public_address=PUBLIC)
    found = only(findings, finding_id, target)
    assert (found.status, found.reason) == (status, reason), found.summary
    assert (found.location or "").startswith(f"{path}:")
    assert found.location is not None
    line = int(found.location.rpartition(":")[2])
    assert 1 <= line <= len(text.split("\n"))
    assert found.fault_domain == {P: None, U: FaultDomain.UNDETERMINED}.get(status, FaultDomain.PBX)
    assert found.facts == ("config.1",)
    if status in (W, F):
        assert found.remedy
    if status is U:
        assert found.settle_by
        assert not found.patch
    assert all("abc123" not in (each.patch or "") + each.summary + (each.remedy or "") for each in findings)
    if found.patch is not None:
        mended = apply(found.patch, {path: text})
        assert told(mended, finding_id, target)[0] is P, mended[path]
    elif status in (W, F) and (finding_id, reason) not in NO_DIFF:
        # Only a secret in the way, or a thing that is for the customer to decide.
        customers = [
            "no_aor",
            "other_host",
            "never_matches",
            "no_peer",
            "dynamic_host",
            "duplicate_object",
            "unknown_option",
        ]
        assert "abc123" in text or reason in customers, found


def test_nothing_in_order_has_a_diff() -> None:
    for path, text in TEXTS.items():
        for found in lint({path: text}, account_sid=SID, public_address=PUBLIC):
            assert found.status in (P, U) or found.id == "config.channel_driver", found
            assert found.patch is None


def test_every_finding_is_of_a_known_id() -> None:
    seen = {each.id for path, text in TEXTS.items() for each in lint({path: text})}
    assert seen == set(config.CHECK.finding_ids)


# --- what the tables above cannot show ---


def test_a_phone_is_never_taken_for_the_trunk() -> None:
    text = "[general]\ntcpenable = yes\n[1001]\ntype = friend\nhost = dynamic\nsecret = abc123\nnat = no\n"
    findings = lint({"sip.conf": text})
    peer = only(findings, "config.peer")
    assert (peer.status, peer.reason, peer.target) == (F, "no_trunk", "sip.conf")
    assert "[1001]" in peer.summary
    rows = {"config.codec_order", "config.registration", "config.nat", "config.logging"}
    assert {each.id: each.reason for each in findings if each.id in rows} == dict.fromkeys(rows, "no_trunk_to_judge")
    assert all(each.status is U for each in findings if each.id in rows)
    assert not [each for each in findings if "[1001]" in (each.target or "")]


def test_without_a_file_for_a_trunk_the_rows_are_unknown() -> None:
    findings = lint({"rtp.conf": "[general]\nrtpstart=10000\nrtpend=20000\n"})
    assert {each.id: (each.status, each.reason) for each in findings if each.id != "config.files"} == dict.fromkeys(
        ("config.peer", "config.codec_order", "config.registration", "config.nat", "config.logging"),
        (U, "no_trunk_file"),
    )


def test_kamailio_is_recognised_and_left_alone() -> None:
    found = only(lint({"kamailio.cfg": '#!KAMAILIO\nloadmodule "tm.so"\nrequest_route { exit; }\n'}), "config.files")
    assert (found.status, found.reason, found.fault_domain) == (S, "kamailio", None)


def test_a_gateway_without_its_profile_leaves_the_rest_unknown() -> None:
    gateway = XML[XML.index("    <gateway") : XML.index("  </gateways>")]
    findings = lint({"trunk.xml": f"<include>\n{gateway}</include>\n"}, account_sid=SID, public_address=PUBLIC)
    reasons = {each.id: (each.status, each.reason) for each in findings}
    assert reasons["config.peer"] == (P, "as_the_guide")
    for finding_id in (
        *("config.listener", "config.identification", "config.codec_order", "config.dtmf", "config.nat"),
        *("config.external_address", "config.media_path", "config.context"),
    ):
        assert reasons[finding_id] == (U, "not_read"), finding_id


def test_variables_of_another_file_are_known() -> None:
    text = XML.replace('"PCMA,PCMU"', '"$${global_codec_prefs}"')
    vars_xml = '<include>\n  <X-PRE-PROCESS cmd="set" data="global_codec_prefs=PCMU,PCMA"/>\n</include>\n'
    assert told({"external.xml": text, "vars.xml": vars_xml}, "config.codec_order", "external.xml [trunk]") == (
        W,
        "other_order",
    )


ACL = """<configuration name="acl.conf"><network-lists>
<list name="trunk" default="deny">
{}
</list></network-lists></configuration>
"""


@pytest.mark.parametrize(
    ("cidrs", "status", "reason"),
    [
        (
            (
                "11.1.1.1/32",
                "11.2.2.0/24",
                "182.76.143.61/32",
                "122.15.8.184/32",
                "14.194.10.247/32",
                "61.246.82.75/32",
            ),
            P,
            "by_address",
        ),
        (("11.1.1.1/32", "11.2.2.0/24"), W, "media_regions"),
        (("11.1.1.1/32",), W, "part_of_the_pops"),
    ],
)
def test_access_lists_are_held_against_what_the_names_resolve_to(
    cidrs: tuple[str, ...], status: Status, reason: str
) -> None:
    text = XML.replace(param("auth-calls", "false"), param("apply-inbound-acl", "trunk"))
    nodes = "\n".join(f'<node type="allow" cidr="{cidr}"/>' for cidr in cidrs)
    files = {"external.xml": text, "acl.conf.xml": ACL.format(nodes)}
    findings = lint(files, facts=looked_up(), public_address=PUBLIC)
    found = only(findings, "config.identification")
    assert (found.status, found.reason) == (status, reason)


_REGIONS = ",".join(f"{address}/32" for address in ("182.76.143.61", "122.15.8.184", "14.194.10.247", "61.246.82.75"))


def looked_up() -> list[Lookup]:
    return [
        Lookup(name=name, record_type="A", purpose="trunk", server=None, addresses=(address,))
        for name, address in (("pstn.in2.exotel.com", "11.1.1.1"), ("pstn.in4.exotel.com", "11.2.2.2"))
    ]


@pytest.mark.parametrize(
    ("applied", "lists", "status", "reason"),
    [
        ("trunk", f'<list name="trunk" default="deny"><node type="allow" cidr="11.0.0.0/8,{_REGIONS}"/></list>', P, ""),
        (
            "trunk",
            f"""<list name="trunk" default="deny"><node type="allow" host="11.0.0.0" mask="255.0.0.0"/>
            <node type="yes" cidr="{_REGIONS}"/></list>""",
            P,
            "",
        ),
        (
            "trunk:inbound",
            f'<list name="trunk" default="deny"><node type="allow" cidr="11.0.0.0/8,{_REGIONS}"/></list>',
            P,
            "",
        ),
        ("trunk", '<list name="trunk"><node type="deny" cidr="192.168.0.0/16"/></list>', P, "anybody"),
        ("trunk", '<list name="trunk" default="true"/>', P, "anybody"),
        ("trunk", '<list name="trunk" default="allow"><node type="deny" cidr="11.0.0.0/8"/></list>', U, "not_read"),
        ("trunk", '<list name="trunk" default="deny"><node type="allow" domain="acme.example"/></list>', U, "not_read"),
        (
            "trunk",
            '<list name="trunk" default="deny"><node type="deny" cidr="11.0.0.0/8"/></list>',
            F,
            "not_identified",
        ),
        (f"11.1.1.1/32,11.2.2.2/32,{_REGIONS}", "", P, ""),
        ("11.1.1.1/32", "", W, "part_of_the_pops"),
        ("none", "", P, "anybody"),
        ("localnet.auto", "", U, "not_read"),
    ],
)
def test_access_lists_are_read_as_freeswitch_does(applied: str, lists: str, status: Status, reason: str) -> None:
    text = XML.replace(param("auth-calls", "false"), param("apply-inbound-acl", applied))
    acl = f'<configuration name="acl.conf"><network-lists>{lists}</network-lists></configuration>'
    found = only(lint({"external.xml": text, "acl.conf.xml": acl}, facts=looked_up()), "config.identification")
    assert (found.status, found.reason) == (status, reason or "by_address"), found.summary


@pytest.mark.parametrize(
    ("rules", "status", "reason"),
    [
        ("deny = 0.0.0.0/0.0.0.0\npermit = 11.1.1.1\npermit = 11.2.2.0/24", P, "by_address"),
        ("deny = 0.0.0.0/0.0.0.0\npermit = 11.1.1.1", F, "denied"),
        ("permit = 11.0.0.0/8\ndeny = 11.2.2.2", F, "denied"),
        ("deny = 11.2.2.2\npermit = 11.0.0.0/8", P, "by_address"),
        ("deny = 0.0.0.0/0,!11.0.0.0/8", P, "by_address"),
        ("deny = 192.168.0.0/16", P, "by_address"),
    ],
)
def test_what_permit_and_deny_come_to(rules: str, status: Status, reason: str) -> None:
    text = SIP.replace("insecure = port", f"insecure = port\n{rules}")
    found = only(lint({"sip.conf": text}, facts=looked_up()), "config.identification", "sip.conf [trunk]")
    assert (found.status, found.reason) == (status, reason), found.summary


def test_a_new_transport_tells_the_outside_what_the_old_one_did() -> None:
    """And takes no name that is taken: of two, Asterisk has neither."""
    text = PJSIP.replace("protocol = tcp", "protocol = udp").replace("tcp]", "transport-tcp]").replace("= tcp\n", "=\n")
    listener = only(lint({"pjsip.conf": text}, public_address=PUBLIC), "config.listener")
    assert listener.reason == "tcp_disabled"
    assert listener.patch is not None
    mended = lint(apply(listener.patch, {"pjsip.conf": text}), account_sid=SID, public_address=PUBLIC)
    assert not [each for each in mended if each.status in (W, F)]


def test_a_file_that_another_one_includes_is_not_refused_by_itself() -> None:
    findings = lint({"sip_general_additional.conf": f"externip = {PUBLIC}\ntcpenable = yes\n"})
    assert (only(findings, "config.files").status, only(findings, "config.files").reason) == (U, "fragment")
    assert only(findings, "config.peer").status is U
    assert only(lint({"sip.conf": "tcpenable = yes\n"}), "config.files").reason == "refused_by_the_pbx"


def test_two_files_of_one_asterisk_may_hold_an_object_once() -> None:
    """Of two that were named apart nobody knows whether both are read: pjsip.conf, and what it was last year."""
    old = "[trunk]\ntype = endpoint\n"
    found = only(lint({"pjsip_old.conf": old, "pjsip.conf": PJSIP}), "config.peer", "pjsip.conf [trunk]")
    assert (found.status, found.reason) == (W, "duplicate_object")


@pytest.mark.parametrize(
    ("source", "measured", "status", "reason"),
    [
        ("192.168.1.5", PUBLIC, F, "missing"),
        ("20.30.40.50", PUBLIC, P, "no_nat"),
        ("192.168.1.5", None, U, "nat_unknown"),
        (None, PUBLIC, W, "perhaps_missing"),
        (None, None, U, "nat_unknown"),
    ],
)
def test_no_external_address_is_judged_by_where_the_run_stood(
    source: str | None, measured: str | None, status: Status, reason: str
) -> None:
    text = SIP.replace(f"externaddr = {PUBLIC}\n", "")
    facts = []
    if source is not None:
        facts.append(
            Connection(name=None, address="11.1.1.1", port=5070, purpose="sip", local_address=source, local_port=4000)
        )
    findings = lint({"sip.conf": text}, facts=facts, public_address=measured)
    found = only(findings, "config.external_address", "sip.conf [trunk]")
    assert (found.status, found.reason) == (status, reason)


@pytest.mark.parametrize(
    ("settings", "status", "reason", "said"),
    [
        ({}, U, "not_compared", "was not seen"),
        ({"expect_ip": PUBLIC}, P, "as_measured", "--expect-ip names"),
        ({"expect_ip": "20.30.40.99"}, F, "differs", "20.30.40.99"),
        ({"public_address": "20.30.40.98", "expect_ip": PUBLIC}, F, "differs", "20.30.40.98"),
    ],
)
def test_what_an_external_address_is_compared_with(
    settings: dict[str, object], status: Status, reason: str, said: str
) -> None:
    found = only(lint({"sip.conf": SIP}, **settings), "config.external_address", "sip.conf [trunk]")
    assert (found.status, found.reason) == (status, reason)
    assert said in found.summary
    if status is F:
        assert PUBLIC in found.summary


def test_without_an_account_only_the_form_of_the_domain_is_told() -> None:
    assert told({"sip.conf": SIP}, "config.domain", "sip.conf [trunk]", account_sid=None) == (P, "form_fits")
    bare = SIP.replace(f"{SID}.pstn.exotel.com", "acme.example")
    found = only(lint({"sip.conf": bare}), "config.domain", "sip.conf [trunk]")
    assert (found.status, found.reason, found.patch) == (F, "other_domain", None)


def test_a_fixed_number_is_compared_with_the_authorised_ones() -> None:
    text = SIP.replace("insecure", "fromuser = 08012345678\ninsecure", 1)
    for exophones, verdict in (
        (("+918012345678",), (P, "identity_exchanged")),
        (("+918000000000",), (F, "not_authorised")),
    ):
        assert told({"sip.conf": text}, "config.caller_id", "sip.conf [trunk]", exophones=exophones) == verdict


RTP = "[general]\nrtpstart = {}\nrtpend = {}\n"


@pytest.mark.parametrize(
    ("text", "status", "reason"),
    [
        (RTP.format(10000, 20000), P, "within"),
        (RTP.format(10000, 40000), P, "within"),
        (RTP.format(5000, 20000), W, "partly_outside"),
        (RTP.format(30000, 50000), W, "partly_outside"),
        (RTP.format(50000, 60000), F, "outside"),
        (RTP.format(20000, 10000), F, "no_range"),
        (RTP.format("x", 10000), F, "no_range"),
        ("[general]\n", W, "partly_outside"),  # 5000-31000
        ("[general]\nrtpstart = 10000\n", P, "within"),
        ("[general]\nstrictrtp = yes\n[general]\nrtpstart = 10000\nrtpend = 20000\n", W, "partly_outside"),
    ],
)
def test_rtp_ports_of_asterisk(text: str, status: Status, reason: str) -> None:
    files = {"pjsip.conf": PJSIP, "rtp.conf": text}
    found = only(lint(files), "config.rtp_range", "rtp.conf")
    assert (found.status, found.reason) == (status, reason)
    if status in (W, F):
        assert found.patch is not None
        assert told(apply(found.patch, files), "config.rtp_range", "rtp.conf") == (P, "within")


SWITCH = """<configuration name="switch.conf">
  <settings>
    {}
  </settings>
</configuration>
"""


@pytest.mark.parametrize(
    ("params", "finding_id", "status", "reason"),
    [
        ("", "config.rtp_range", P, "within"),  # 16384-32768
        (param("rtp-start-port", "10000") + param("rtp-end-port", "40000"), "config.rtp_range", P, "within"),
        (param("rtp-start-port", "2000") + "\n    " + param("rtp-end-port", "9000"), "config.rtp_range", F, "outside"),
        (param("sessions-per-second", "3"), "config.call_rate", P, "limited"),
        (param("sessions-per-second", "30"), "config.call_rate", U, "not_limited_here"),
        ("<!-- " + param("sessions-per-second", "3") + " -->", "config.call_rate", U, "not_seen"),
    ],
)
def test_limits_of_freeswitch(params: str, finding_id: str, status: Status, reason: str) -> None:
    files = {"external.xml": XML, "switch.conf.xml": SWITCH.format(params)}
    found = only(lint(files), finding_id)
    assert (found.status, found.reason) == (status, reason)
    if found.patch is not None:
        assert only(lint(apply(found.patch, files)), finding_id).status is P


PLAN = "[incoming]\nexten => {},1,{}\n"
WHOLE = """\
[incoming]
exten => _+X.,1,Log(NOTICE,${CHANNEL(pjsip,call-id)} ${PJSIP_HEADER(read,X-Exotel-CallSid)})
 same => n,Set(LEG=${PJSIP_HEADER(read,X-Exotel-LegSid)})
 same => n,Set(CDR(trunk)=${PJSIP_HEADER(read,X-Exotel-TrunkSid)})
 same => n,Log(NOTICE,leg ${LEG})
 same => n,Dial(PJSIP/1001)
"""


@pytest.mark.parametrize(
    ("plan", "status", "reason"),
    [
        (WHOLE, P, "takes_calls"),
        (PLAN.format("_X.", "Answer()"), F, "takes_no_plus"),
        (PLAN.format("s", "Answer()"), F, "takes_no_plus"),
        (PLAN.format("_.", "Answer()"), P, "takes_calls"),
        (PLAN.format("+918012345678", "Answer()"), P, "takes_calls"),
        (PLAN.format("_[+0-9].", "Answer()"), P, "takes_calls"),
        (PLAN.format("${EXOPHONE}", "Answer()"), P, "takes_calls"),
        ("[incoming]\ninclude => more\n[more]\nexten => _+91X.,1,Answer()\n", P, "takes_calls"),
        ("[incoming]\ninclude => elsewhere\n", U, "dialplan_elsewhere"),
        ("[incoming]\nswitch => Realtime/@\n", U, "dialplan_elsewhere"),
        ("[other]\nexten => _+X.,1,Answer()\n", F, "no_such_context"),
    ],
)
def test_where_calls_land(plan: str, status: Status, reason: str) -> None:
    found = only(lint({"pjsip.conf": PJSIP, "extensions.conf": plan}), "config.context")
    assert (found.status, found.reason) == (status, reason), found.summary


NOOP = """\
[incoming]
exten => _+X.,1,NoOp(${CHANNEL(pjsip,call-id)} ${PJSIP_HEADERS(X-Exotel-)} ${PJSIP_HEADER(read,X-Exotel-CallSid)})
 same => n,NoOp(${PJSIP_HEADER(read,X-Exotel-LegSid)} ${PJSIP_HEADER(read,X-Exotel-TrunkSid)})
"""


@pytest.mark.parametrize(
    ("files", "status", "reason"),
    [
        ({"extensions.conf": WHOLE}, P, "logged"),
        ({"extensions.conf": WHOLE.replace("leg ${LEG}", "ringing")}, W, "part_logged"),
        ({"extensions.conf": WHOLE.replace("${CHANNEL(pjsip,call-id)} ", "")}, W, "part_logged"),
        ({"extensions.conf": PLAN.format("_+X.", "Answer()")}, W, "not_logged"),
        (
            {"extensions.conf": PLAN.format("_+X.", "Set(A=${PJSIP_HEADER(read,X-Exotel-CallSid)})")},
            W,
            "read_not_logged",
        ),
        ({"extensions.conf": NOOP}, P, "logged"),
        ({"extensions.conf": NOOP, "logger.conf": "[logfiles]\nmessages = notice,error\n"}, W, "not_kept"),
        ({"extensions.conf": NOOP, "logger.conf": "[logfiles]\nfull = notice,verbose\n"}, P, "logged"),
        ({"res_hep.conf": "[general]\nenabled = yes\ncapture_address = 10.0.0.9:9060\n"}, P, "traced"),
        ({"res_hep.conf": "[general]\nenabled = no\ncapture_address = 10.0.0.9:9060\n"}, U, "dialplan_not_given"),
    ],
)
def test_what_is_logged(files: dict[str, str], status: Status, reason: str) -> None:
    found = only(lint({"pjsip.conf": PJSIP, **files}), "config.logging")
    assert (found.status, found.reason) == (status, reason), found.summary


DIALPLAN = """<section name="dialplan"><context name="incoming"><extension name="in"><condition>
{}
</condition></extension></context></section>
"""


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (
            'log" data="${sip_call_id} ${sip_h_X-Exotel-CallSid} ${sip_h_X-Exotel-LegSid} ${sip_h_X-Exotel-TrunkSid}"',
            P,
            "logged",
        ),
        ('log" data="${sip_h_X-Exotel-CallSid}"', W, "part_logged"),
        ('set" data="a=${sip_h_X-Exotel-CallSid}"', W, "read_not_logged"),
        ('info" data=""', P, "logged"),
        ('bridge" data="user/1001"', W, "not_logged"),
    ],
)
def test_what_freeswitch_logs(data: str, status: Status, reason: str) -> None:
    plan = DIALPLAN.format(f'<action application="{data}/>')
    found = only(lint({"external.xml": XML, "public.xml": plan}), "config.logging")
    assert (found.status, found.reason) == (status, reason), found.summary


@pytest.mark.parametrize(
    ("path", "modules", "status", "reason"),
    [
        ("sip.conf", "[modules]\nautoload = yes\nnoload = chan_sip.so\n", F, "not_loaded"),
        ("sip.conf", "[modules]\nautoload = yes\nnoload => chan_sip\n", F, "not_loaded"),
        ("sip.conf", "[modules]\nautoload = no\nload = chan_sip.so\n", W, "removed_in_21"),
        ("sip.conf", "[modules]\nautoload = no\nload = chan_pjsip.so\n", F, "not_loaded"),
        ("pjsip.conf", "[modules]\nautoload = yes\nnoload = chan_sip.so\n", P, "present"),
        ("pjsip.conf", "[modules]\nautoload = yes\nnoload = chan_pjsip.so\n", F, "not_loaded"),
        ("pjsip.conf", "[modules]\nautoload = yes\nnoload = res_pjsip_endpoint_identifier_ip.so\n", F, "not_loaded"),
        ("pjsip.conf", "[modules]\nautoload = yes\nnoload = res_pjsip_endpoint_identifier_user.so\n", P, "present"),
    ],
)
def test_which_driver_runs(path: str, modules: str, status: Status, reason: str) -> None:
    files = {path: TEXTS[path], "modules.conf": modules}
    found = only(lint(files), "config.channel_driver")
    assert (found.status, found.reason) == (status, reason)
    if found.patch is not None:
        assert only(lint(apply(found.patch, files)), "config.channel_driver").status is P


@pytest.mark.parametrize(
    ("line", "mended"),
    [
        ("port = 5060", "port = 5070"),
        ("  port=>5060   ; as always", "  port=>5070   ; as always"),
        ("PORT\t=\t5060;x", "PORT\t=\t5070;x"),
        ("port += 5060", "port = 5070"),
    ],
)
def test_a_line_keeps_its_looks(line: str, mended: str) -> None:
    text = f"[trunk]\ntype=peer\nhost=pstn.in2.exotel.com\ntransport=tcp\n{line}\n"
    patch = only(lint({"sip.conf": text}), "config.peer").patch
    assert patch is not None
    assert f"-{line}\n+{mended}\n" in patch


def test_an_endless_line_costs_no_time() -> None:
    text = f"[trunk]\ntype=peer\nhost=pstn.in2.exotel.com\nport{' ' * 8000}={' ' * 100}5060\n"
    assert only(lint({"sip.conf": text}), "config.peer").status is F


def test_a_registration_and_its_secret_leave_by_hand() -> None:
    """The line with the password is in no diff; the remedy names it."""
    text = SIP.replace("localnet", "register => me:abc123@pstn.in2.exotel.com\nlocalnet")
    found = only(lint({"sip.conf": text}), "config.registration", "sip.conf [trunk]")
    assert found.patch is None
    assert "sip.conf:6" in (found.remedy or "")


def test_a_trunk_may_have_ports_of_rtp_of_its_own() -> None:
    wanted = {(30000, 35000): (P, "within"), (5000, 6000): (F, "outside"), (20000, 0): (F, "no_range")}
    for ports, verdict in wanted.items():
        own = "rtp_port_start = {}\nrtp_port_end = {}\nsend_pai".format(*ports)
        files = {"pjsip.conf": PJSIP.replace("send_pai", own, 1), "rtp.conf": RTP.format(10000, 20000)}
        found = only(lint(files), "config.rtp_range")
        assert (found.target, found.status, found.reason) == ("pjsip.conf [trunk]", *verdict)
        if found.patch is not None:
            assert only(lint(apply(found.patch, files)), "config.rtp_range").status is P
    zero = PJSIP.replace("send_pai", "rtp_port_start = 0\nrtp_port_end = 0\nsend_pai", 1)
    assert only(lint({"pjsip.conf": zero}), "config.rtp_range").reason == "not_read"


def test_calls_known_as_another_endpoints_are_no_strangers() -> None:
    second = """\
[b]
type = aor
contact = sip:pstn.in4.exotel.com:5070\\;transport=tcp
[b]
type = endpoint
aors = b
allow = alaw,ulaw
"""
    files = {"pjsip.conf": PJSIP + second}
    assert told(files, "config.identification", "pjsip.conf [b]") == (P, "by_address")
    files = {"pjsip.conf": PJSIP.replace(",pstn.in4.exotel.com", "") + second}
    found = only(lint(files), "config.identification", "pjsip.conf [b]")
    assert (found.status, found.reason) == (W, "part_of_the_pops")
    assert found.patch is not None
    assert told(apply(found.patch, files), "config.identification", "pjsip.conf [b]") == (P, "by_address")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("pjsip_trunks.conf", "[trunk](base)\n"),
        ("pjsip_trunks.conf", "[base](+)\nrtp_symmetric = yes\n[trunk]\n"),
        ("pjsip.conf", "#include more.conf\n[trunk]\n"),
    ],
)
def test_what_was_not_read_may_set_what_is_missing(path: str, text: str) -> None:
    """A template, an addition or an include that was not given: what is written decides, what is missing does not."""
    text += "type = endpoint\naors = t\nallow = ulaw\n[t]\ntype = aor\ncontact = sip:pstn.in2.exotel.com\n"
    reasons = {each.id: (each.status, each.reason) for each in lint({path: text}, account_sid=SID)}
    assert reasons["config.files"] in ((U, "fragment"), (W, "include_missing"))
    assert reasons["config.peer"] == (F, "wrong_port")
    assert reasons["config.codec_order"] == (W, "part_of_g711")
    for finding_id in ("domain", "caller_id", "nat", "media_path", "context", "identification"):
        assert reasons[f"config.{finding_id}"] == (U, "not_read")


def test_what_was_not_read_takes_no_second_object_back() -> None:
    text = "#include more.conf\n" + PJSIP.replace("[1001]", "[trunk]\ntype = endpoint\n[1001]")
    assert only(lint({"pjsip.conf": text}), "config.peer").reason == "duplicate_object"


def test_a_file_of_peers_alone_says_nothing_of_all() -> None:
    """[general] stands in the file that includes it."""
    files = {"sip_custom.conf": SIP[SIP.index("[trunk]") :]}
    findings = lint(files, public_address=PUBLIC)
    reasons = {each.id: (each.status, each.reason) for each in findings if each.target.endswith("[trunk]")}
    assert reasons["config.listener"] == reasons["config.external_address"] == (U, "not_read")
    assert reasons["config.peer"] == (P, "as_the_guide")


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("sip.conf", "insecure", "outboundproxy = 10.0.0.9\ninsecure"),
        ("pjsip.conf", "send_pai", "outbound_proxy = sip:sbc.acme.example\\;lr\nsend_pai"),
        ("external.xml", '"register-transport" value="tcp"', '"outbound-proxy" value="10.0.0.9"'),
    ],
)
def test_what_a_proxy_of_ones_own_may_put_right_is_left_open(path: str, before: str, after: str) -> None:
    text = TEXTS[path].replace(before, after, 1).replace(PUBLIC, "10.0.0.5").replace(f"{SID}.pstn", "other.pstn")
    text = text.replace("allow = alaw\n", "").replace("alaw,ulaw", "ulaw,alaw").replace("PCMA,PCMU", "PCMU,PCMA")
    findings = lint({path: text}, account_sid=SID, public_address=PUBLIC)
    found = {each.id: each for each in findings if each.target.endswith("[trunk]")}
    for finding_id in ("peer", "domain", "codec_order", "external_address"):
        one = found[f"config.{finding_id}"]
        assert (one.status, one.reason, one.patch) == (U, "through_a_relay", None)
    assert found["config.context"].status is P


def test_a_proxy_mends_no_object_that_is_refused() -> None:
    text = PJSIP.replace("send_pai", "outbound_proxy = sip:10.0.0.9\\;lr\nnat = yes\nsend_pai", 1)
    found = only(lint({"pjsip.conf": text}), "config.peer")
    assert (found.status, found.reason) == (F, "object_refused")


def test_no_diff_takes_away_what_may_be_newer_than_this_check() -> None:
    for line, patched in (("nat = yes", True), ("some_day = yes", False), ("nat = yes\nsome_day = yes", False)):
        found = only(lint({"pjsip.conf": PJSIP.replace("send_pai", f"{line}\nsend_pai", 1)}), "config.peer")
        assert (found.patch is not None) is patched
        assert "some_day" not in (found.patch or "")


def test_an_old_name_is_told_with_its_present_one() -> None:
    found = only(lint({"pjsip.conf": PJSIP.replace("local_net", "localnet")}), "config.listener")
    assert "has local_net instead" in (found.remedy or "")


def test_a_mended_file_stays_mended() -> None:
    """One diff after the other, as somebody would who works down the list."""
    for path, broken in (
        (
            "sip.conf",
            "[general]\n[trunk]\ntype=peer\nhost=pstn.in2.exotel.com ; Mumbai\nsecret=abc123\n"
            "allow=gsm\nfromuser=acme\n",
        ),
        (
            "pjsip.conf",
            "[trunk]\ntype=endpoint\naors=a\nallow=ulaw\n[a]\ntype=aor\ncontact=sip:pstn.in4.exotel.com\n"
            "[t]\ntype=transport\nprotocol=udp\nbind=0.0.0.0\n",
        ),
        ("external.xml", XML.replace("register", "x-register").replace("PCMA,PCMU", "G729")),
    ):
        files = {path: broken}
        for _ in range(30):
            patch = next(
                (each.patch for each in lint(files, account_sid=SID, public_address=PUBLIC) if each.patch), None
            )
            if patch is None:
                break
            files = apply(patch, files)
        left = {each.id for each in lint(files, account_sid=SID, public_address=PUBLIC) if each.status in (W, F)}
        assert left <= {"config.channel_driver", "config.registration", "config.context"}, (path, left, files[path])


@pytest.mark.parametrize(
    ("line", "reason"),
    [(f"externaddr = {PUBLIC}/32", "by_name"), ("tcpbindaddr = 10.0.0.5/24", "nat_unknown")],
)
def test_a_network_is_no_address(line: str, reason: str) -> None:
    """What takes an address would look its mask up as a part of a name."""
    text = re.sub(rf"(?m)^{line.split(' ')[0]} = .*$", line, SIP)
    if reason == "nat_unknown":
        text = re.sub(r"(?m)^(externaddr|localnet) = .*\n", "", text)
    assert only(lint({"sip.conf": text}), "config.external_address", "sip.conf [trunk]").reason == reason


def test_tones_in_the_audio_count_for_nothing_beside_telephone_events() -> None:
    text = SIP.replace("dtmfmode = rfc2833\n", "dtmfmode = rfc2833\nrelaxdtmf = yes\n")
    found = only(lint({"sip.conf": text}), "config.dtmf", "sip.conf [trunk]")
    assert (found.status, found.reason) == (P, "telephone_event")
    assert "relaxdtmf only helps with tones in the audio" in found.summary


def test_every_address_of_a_trunk_counts_and_is_mended() -> None:
    second = "contact = sip:pstn.in4.exotel.com:5070;transport=tcp\n"
    for first in ("contact = sip:182.76.143.101:5070\\;transport=tcp\n", second):
        files = {
            "pjsip.conf": PJSIP.replace("contact = sip:pstn.in2.exotel.com:5070\\;transport=tcp\n", first + second)
        }
        found = only(lint(files), "config.peer")
        assert (found.status, found.reason) == (F, "not_tcp")
        assert found.patch is not None
        assert only(lint(apply(found.patch, files)), "config.peer").status is P


def test_a_wrong_port_is_shown_where_it_stands() -> None:
    files = {"sip.conf": SIP.replace("port = 5070\n", "port = 5060\n")}
    location = only(lint(files), "config.peer", "sip.conf [trunk]").location
    assert location == f"sip.conf:{files['sip.conf'].split('port = 5060')[0].count(chr(10)) + 1}"


def test_what_is_added_looks_like_what_stands_there() -> None:
    files = {"sip.conf": SIP.replace("disallow = all\nallow = alaw\nallow = ulaw\n", "\tdisallow=all\n\tallow=alaw\n")}
    patch = only(lint(files), "config.codec_order", "sip.conf [trunk]").patch or ""
    assert [line for line in patch.splitlines()[2:] if line[0] in "+-"] == ["+\tallow = ulaw"]


def test_trunks_of_two_drivers_are_judged_apart() -> None:
    targets = {each.target for each in lint({"sip.conf": SIP, "pjsip.conf": PJSIP}) if each.id == "config.peer"}
    assert targets == {"sip.conf [trunk]", "sip.conf [trunk-b]", "pjsip.conf [trunk]"}


def test_a_run_without_the_check_says_nothing() -> None:
    from checks.config_lint import PROFILE, settings_of

    from vsipcheck.checks.base import Facts

    assert config.judge(Facts({}), PROFILE, settings_of()) == []


fragments = st.sampled_from(
    [
        *("[general]\n", "[trunk]\n", "[trunk](!)\n", "[a](trunk)\n", "type=endpoint\n", "type=peer\n", "type=aor\n"),
        *(
            "host=pstn.in2.exotel.com\n",
            "contact=sip:pstn.in4.exotel.com\n",
            "aors=trunk\n",
            "allow=all\n",
            "allow+=x\n",
        ),
        *(
            "match=pstn.in2.exotel.com/99\n",
            "endpoint=trunk\n",
            "type=identify\n",
            "type=wizard\n",
            "nat=,\n",
            "port=x\n",
        ),
        *("remote_hosts=pstn.in2.exotel.com:5070\n", "externip=::1\n", "localnet=\n", ";--\n", "--;\n", "#include x\n"),
        *("bind=[::]:99999\n", "protocol=tcp\n", "type=transport\n", "rtpstart=1\n", "exten=>_+X.,1,Log(a)\n", "=\n"),
        *(
            "<profile name='p'>",
            "<gateway name='g'>",
            "<param name='proxy' value='pstn.in2.exotel.com'/>",
            "</gateway>",
        ),
        *("</profile>", "<settings>", "</settings>", "<param name='sip-port' value='x'/>", "\n"),
    ]
)


@given(
    st.dictionaries(
        st.sampled_from(["sip.conf", "pjsip.conf", "pjsip_wizard.conf", "rtp.conf", "extensions.conf", "a.xml", "x"]),
        st.one_of(st.text(max_size=200), st.lists(fragments, max_size=25).map("".join)),
        max_size=3,
    )
)
def test_any_text_is_judged(files: dict[str, str]) -> None:
    for found in lint(files, account_sid=SID, public_address=PUBLIC):
        assert found.id in config.CHECK.finding_ids
        assert found.status in (P, W, F, U, S)
        if found.patch is not None:
            apply(found.patch, files)


@pytest.mark.parametrize(
    ("edits", "row", "status"),
    [
        ((), "codec_order", P),
        ((("disallow = all\nallow = alaw", "disallow = all\nallow = g729"), ("allow = ulaw\n", "")), "codec_order", F),
        ((), "no_registration", P),
        ((("tcp\n", "udp\n"),), "no_registration", F),
        ((), "nat_settings", P),
        ((("nat = force_rport,comedia", "nat = force_rport"),), "nat_settings", W),
        ((), "headers_logged", U),
        ((("tcpenable", "sipdebug = yes\ntcpenable"),), "headers_logged", P),
    ],
)
def test_rows_of_the_checklist(edits: tuple[tuple[str, str], ...], row: str, status: Status) -> None:
    findings = lint({"sip.conf": changed("sip.conf", edits)}, account_sid=SID, public_address=PUBLIC)
    rows = {each.id: each for each in build_checklist(findings, PROFILE)}
    assert rows[row].status is status
    assert rows[row].gating


def test_rows_are_skipped_without_a_configuration() -> None:
    rows = {each.id: each.status for each in build_checklist([], PROFILE)}
    assert {rows[row] for row in ("codec_order", "no_registration", "nat_settings", "headers_logged")} == {S}
