"""Ready configurations of PBXs for the account, made of the profile's values.

What the provider's guide asks for stands in them, and what its own sample leaves out: a TCP listener, symmetric RTP,
every point of presence, the port that the provider calls. Each line that is not plain says why it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from vsipcheck.model import PoP, Profile

# Stand where a value was not given. The configuration's lint knows them for what they are.
_NO_ACCOUNT = "<accountsid>"
_NO_ADDRESS = "<your_public_ip>"

# RFC 1918. Whoever has other networks inside names those.
_PRIVATE_NETWORKS = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")

_DEFAULT_LISTENER = 5060  # SIP's own port, where the profile names none that the provider calls
_ASTERISK_CODECS = {"PCMA": "alaw", "PCMU": "ulaw"}
_RTP_PORTS = 10_000  # two for each call at the same time, and no more of the range than that takes


# What the dialplan logs stands in another file, which nobody has written on the first day.
_TRACE = (
    "; Every SIP message is logged (verbose, see logger.conf), with Call-ID and the provider's headers. Take it out",
    "; once the lines for extensions.conf below stand, and calls work.",
)


class _Values:
    """What the samples are made of."""

    def __init__(self, profile: Profile, account_sid: str | None, public_ip: str | None) -> None:
        self.profile = profile
        self.signalling = profile.signalling
        self.title = _one_line(profile.title)
        self.made_from = f"the profile {_one_line(profile.name)} of {_one_line(profile.dated)}"
        self.domain = profile.signalling.domain_pattern.replace("{account_sid}", _one_line(account_sid or _NO_ACCOUNT))
        self.public_ip = _one_line(public_ip or _NO_ADDRESS)
        self.name = "".join(letter for letter in profile.provider.lower() if letter.isalnum()) or "trunk"
        self.context = f"from-{self.name}"
        self.listener = profile.signalling.customer_port or _DEFAULT_LISTENER
        self.first_rtp = profile.media.first_port
        self.last_rtp = min(profile.media.first_port + _RTP_PORTS - 1, profile.media.last_port)
        self.media_range = f"{profile.media.first_port}-{profile.media.last_port}"
        self.calls_per_minute = profile.signalling.calls_per_minute

    def peer(self, pop: PoP) -> str:
        return f"{self.name}-{_one_line(pop.id)}"

    def header(self, word: str) -> str:
        return f"X-{_one_line(self.profile.provider)}-{word}"

    def logged(self, call_id: str, read: str) -> list[str]:
        """What the dialplan writes, a message each: Call-ID and the provider's headers. In `read`, @ is for a name."""
        headers = [self.header(word) for word in ("CallSid", "LegSid", "TrunkSid")]
        return [f"Call-ID {call_id}", *(f"{header} {read.replace('@', header)}" for header in headers)]


def _one_line(text: str) -> str:
    """What can stand in a comment and in a value of either format."""
    return " ".join(text.replace(";", " ").replace("--", "- ").split())


def _asterisk_head(values: _Values, file: str) -> list[str]:
    return [
        f"; {file}: {values.title}",
        f"; Made from {values.made_from}. The trunk is a static peer: nothing",
        "; registers, and no credentials are set, for the provider knows you by your public address alone.",
        "",
    ]


def _asterisk_tail(values: _Values, header: str, call_id: str, dial: Callable[[PoP], str]) -> list[str]:
    """The lines for other files, as comments."""
    first, *others = [f"Log(NOTICE,{message})" for message in values.logged(call_id, "${" + header + "}")]
    return [
        "; --- extensions.conf ---",
        "; Numbers come as +91..., so that a pattern without the + takes none. The provider's support asks for what is",
        f"; logged here: Call-ID and {values.header('*')}.",
        f"; [{values.context}]",
        f"; exten => _+X.,1,{first}",
        *(f";  same => n,{other}" for other in others),
        ";  same => n,Goto(your-own-incoming-context,${EXTEN},1)",
        f"; [to-{values.name}]",
        "; The caller ID has to be one of your Exophones, or the call is rejected. Each Dial is tried where the one",
        f"; before failed. The trunk takes {values.calls_per_minute} calls a minute: no dialler may exceed that.",
        "; exten => _+X.,1,Set(CALLERID(num)=+91XXXXXXXXXX)",
        *(f";  same => n,Dial({dial(pop)},60)" for pop in values.signalling.pops),
        ";  same => n,Hangup()",
        "",
        "; --- rtp.conf ---",
        f"; The firewall opens UDP {values.media_range}, both ways. Without this Asterisk uses lower ports as well.",
        "; [general]",
        f"; rtpstart = {values.first_rtp}",
        f"; rtpend = {values.last_rtp}",
    ]


def _codecs(values: _Values) -> list[str]:
    known = [_ASTERISK_CODECS[codec] for codec in values.profile.media.codecs if codec in _ASTERISK_CODECS]
    return ["disallow = all", *(f"allow = {codec}" for codec in known)]


def _pjsip(values: _Values) -> str:
    signalling, pops = values.signalling, values.signalling.pops
    transport = f"transport-{values.name}"
    template = f"{values.name}-endpoint"
    lines = [
        *_asterisk_head(values, "pjsip.conf"),
        *_TRACE,
        "; Where there is a [global] already, this belongs into it: of two, Asterisk takes neither.",
        "[global]",
        "type = global",
        "debug = yes",
        "",
        "; The provider calls this port over TCP. A transport is read when Asterisk starts, not on reload.",
        f"[{transport}]",
        "type = transport",
        f"protocol = {signalling.transport}",
        f"bind = 0.0.0.0:{values.listener}",
        "; What is told to the provider in Contact, Via and SDP instead of an address inside your network.",
        f"external_signaling_address = {values.public_ip}",
        f"external_signaling_port = {values.listener}",
        f"external_media_address = {values.public_ip}",
        "; Whoever is inside is not told that address, and the PBX's own has to be inside. Keep those that are yours.",
        *(f"local_net = {network}" for network in _PRIVATE_NETWORKS),
        "",
        f"[{template}](!)",
        "type = endpoint",
        f"transport = {transport}",
        f"context = {values.context}",
        *_codecs(values),
        "dtmf_mode = rfc4733 ; telephone-event",
        f"from_domain = {values.domain}",
        "; Calls are the provider's by the address they come from, see identify below.",
        "identify_by = ip",
        "trust_id_inbound = yes ; the provider sends P-Asserted-Identity",
        "send_pai = yes",
        "; Behind NAT: SIP and RTP go back to where they came from. force_rport is for SIP alone.",
        "force_rport = yes",
        "rtp_symmetric = yes",
        "direct_media = no ; audio goes through the PBX: no phone's own address is ever told",
        "",
    ]
    for pop in pops:
        peer = values.peer(pop)
        lines += [
            f"; {pop.region}",
            f"[{peer}]({template})",
            f"aors = {peer}",
            "",
            f"[{peer}]",
            "type = aor",
            "; The backslash keeps what follows: a bare semicolon begins a comment, and calls would go over UDP.",
            f"contact = sip:{pop.fqdn}:{signalling.port}\\;transport={signalling.transport}",
            "",
            f"[{peer}]",
            "type = identify",
            f"endpoint = {peer}",
            "srv_lookups = no ; the names are those of hosts",
            f"match = {pop.fqdn}",
            *(f"match = {address}" for address in pop.addresses),
        ]
        if pop is pops[0]:
            lines.append("; The media regions: nobody has to change this file should INVITEs come from there.")
            lines += [f"match = {media.address}" for media in values.profile.media.addresses]
        lines.append("")
    lines += _asterisk_tail(
        values,
        "PJSIP_HEADER(read,@)",
        "${CHANNEL(pjsip,call-id)}",
        lambda pop: f"PJSIP/${{EXTEN}}@{values.peer(pop)}",
    )
    return _text(lines)


def _chan_sip(values: _Values) -> str:
    signalling = values.signalling
    template = values.name
    lines = [
        *_asterisk_head(values, "sip.conf"),
        "; chan_sip was removed in Asterisk 21: from there on pjsip.conf is what is read.",
        "[general]",
        *_TRACE,
        "sipdebug = yes",
        "context = nobody ; strangers land where nothing stands",
        "allowguest = no",
        "; transport=tcp of a peer does nothing without this.",
        "tcpenable = yes",
        f"tcpbindaddr = 0.0.0.0:{values.listener} ; the port that the provider calls",
        "; What is told to the provider in Contact, Via and SDP instead of an address inside your network.",
        f"externaddr = {values.public_ip}",
        f"externtcpport = {values.listener} ; else Contact names the port of UDP",
        "; Without these Asterisk takes nothing for outside. Keep those that are yours.",
        *(f"localnet = {network}" for network in _PRIVATE_NETWORKS),
        "relaxdtmf = yes ; read here and nowhere else, and only for tones in the audio",
        "",
        f"[{template}](!)",
        "type = peer ; known by its address; a friend is looked for by its name first",
        f"port = {signalling.port}",
        f"transport = {signalling.transport}",
        f"context = {values.context}",
        "insecure = port ; over TCP calls come from any port",
        *_codecs(values),
        "dtmfmode = rfc2833 ; telephone-event",
        f"fromdomain = {values.domain}",
        "trustrpid = yes ; the provider sends P-Asserted-Identity",
        "sendrpid = pai",
        "; Behind NAT: SIP and RTP go back to where they came from. force_rport is for SIP alone.",
        "nat = force_rport,comedia",
        "directmedia = no ; audio goes through the PBX: no phone's own address is ever told",
        "",
    ]
    for pop in signalling.pops:
        lines += [f"; {pop.region}", f"[{values.peer(pop)}]({template})", f"host = {pop.fqdn}", ""]
    lines += _asterisk_tail(
        values,
        "SIP_HEADER(@)",
        "${SIPCALLID}",
        lambda pop: f"SIP/{values.peer(pop)}/${{EXTEN}}",
    )
    return _text(lines)


def _freeswitch(values: _Values) -> str:
    profile, signalling = values.profile, values.signalling
    codecs = ",".join(profile.media.codecs)
    messages = values.logged("${sip_call_id}", "${sip_h_@}")
    limited = all(pop.addresses for pop in signalling.pops)
    lines = [
        f"<!-- {values.title}",
        f"     Made from {values.made_from}. The trunk is a static peer: nothing",
        "     registers, and no credentials are set, for the provider knows you by your public address alone.",
        "     Each part goes into the file that is named above it. -->",
        '<document type="freeswitch/xml">',
        '  <section name="configuration">',
        "",
    ]
    if limited:
        lines += [
            "    <!-- autoload_configs/acl.conf.xml: who may call without being asked who it is -->",
            '    <configuration name="acl.conf">',
            "      <network-lists>",
            f'        <list name="{values.name}" default="deny">',
            *(
                f'          <node type="allow" cidr="{address}/{128 if ":" in address else 32}"/>'
                for address in [
                    *(address for pop in signalling.pops for address in pop.addresses),
                    *(media.address for media in profile.media.addresses),
                ]
            ),
            "        </list>",
            "      </network-lists>",
            "    </configuration>",
            "",
        ]
    lines += [
        "    <!-- autoload_configs/switch.conf.xml: the firewall opens UDP "
        f"{values.media_range}, both ways. The trunk takes {values.calls_per_minute}",
        "         calls a minute: whatever dials on its own has to keep below that. -->",
        '    <configuration name="switch.conf">',
        "      <settings>",
        f'        <param name="rtp-start-port" value="{values.first_rtp}"/>',
        f'        <param name="rtp-end-port" value="{values.last_rtp}"/>',
        "      </settings>",
        "    </configuration>",
        "",
        '    <configuration name="sofia.conf">',
        "      <profiles>",
        f"        <!-- sip_profiles/{values.name}.xml -->",
        f'        <profile name="{values.name}">',
        "          <gateways>",
    ]
    for pop in signalling.pops:
        lines += [
            f"            <!-- {pop.region} -->",
            f'            <gateway name="{values.peer(pop)}">',
            f'              <param name="proxy" value="{pop.fqdn}:{signalling.port}"/>',
            "              <!-- The transport of calls, too. -->",
            f'              <param name="register-transport" value="{signalling.transport}"/>',
            "              <!-- true is the default. -->",
            '              <param name="register" value="false"/>',
            f'              <param name="from-domain" value="{_escaped(values.domain)}"/>',
            "              <!-- Else From carries a fixed user. The caller ID has to be one of your Exophones. -->",
            '              <param name="caller-id-in-from" value="true"/>',
            "              <variables>",
            '                <variable name="sip_cid_type" value="pid" direction="outbound"/>',
            "              </variables>",
            "            </gateway>",
        ]
    lines += [
        "          </gateways>",
        "          <settings>",
        "            <!-- The provider calls this port over TCP. -->",
        '            <param name="sip-ip" value="$${local_ip_v4}"/>',
        '            <param name="rtp-ip" value="$${local_ip_v4}"/>',
        f'            <param name="sip-port" value="{values.listener}"/>',
        '            <param name="bind-params" value="transport=tcp"/>',
        '            <param name="tls" value="false"/>',
        "            <!-- What is told to the provider in Contact, Via and SDP. -->",
        f'            <param name="ext-sip-ip" value="{_escaped(values.public_ip)}"/>',
        f'            <param name="ext-rtp-ip" value="{_escaped(values.public_ip)}"/>',
        '            <param name="local-network-acl" value="localnet.auto"/>',
        '            <param name="dialplan" value="XML"/>',
        f'            <param name="context" value="{values.context}"/>',
    ]
    if limited:
        lines.append(f'            <param name="apply-inbound-acl" value="{values.name}"/>')
    else:
        lines += [
            "            <!-- An access list takes addresses, and the provider publishes names for its signalling:",
            "                 a list of today's would turn its calls away tomorrow. Let the firewall keep others",
            "                 from this port. -->",
        ]
    lines += [
        '            <param name="auth-calls" value="false"/>',
        '            <param name="disable-register" value="true"/>',
        '            <param name="manage-presence" value="false"/>',
        f'            <param name="inbound-codec-prefs" value="{codecs}"/>',
        f'            <param name="outbound-codec-prefs" value="{codecs}"/>',
        "            <!-- telephone-event -->",
        '            <param name="dtmf-type" value="rfc2833"/>',
        "            <!-- Audio goes through the PBX, and back to where it came from: that is the default. -->",
        '            <param name="inbound-bypass-media" value="false"/>',
        '            <param name="disable-rtp-auto-adjust" value="false"/>',
        "          </settings>",
        "        </profile>",
        "      </profiles>",
        "    </configuration>",
        "  </section>",
        "",
        f"  <!-- dialplan/{values.context}.xml: {values.header('*')} are what support asks for. Calls out go by",
        *(f"       sofia/gateway/{values.peer(pop)}/+91XXXXXXXXXX" for pop in signalling.pops),
        "       with effective_caller_id_number set to one of your Exophones. -->",
        '  <section name="dialplan">',
        f'    <context name="{values.context}">',
        '      <extension name="trunk">',
        '        <condition field="destination_number" expression="^(\\+\\d+)$">',
        *(f'          <action application="log" data="NOTICE {message}"/>' for message in messages),
        '          <action application="transfer" data="$1 XML your-own-incoming-context"/>',
        "        </condition>",
        "      </extension>",
        "    </context>",
        "  </section>",
        "</document>",
    ]
    return _text(lines)


def _escaped(value: str) -> str:
    return value.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"


SAMPLES: dict[str, Callable[[_Values], str]] = {
    "asterisk-pjsip": _pjsip,
    "asterisk-chan-sip": _chan_sip,
    "freeswitch": _freeswitch,
}


def sample(kind: str, profile: Profile, *, account_sid: str | None = None, public_ip: str | None = None) -> str:
    """One file that the configuration's own lint passes; what belongs in other files is set apart in it.

    `asterisk-pjsip` is a pjsip.conf and `asterisk-chan-sip` a sip.conf, each with lines for other files as comments;
    `freeswitch` is one document with the parts of several. What is not given is a placeholder that the lint points at.
    Raises KeyError for a kind that there is none of.
    """
    return SAMPLES[kind](_Values(profile, account_sid, public_ip))
