"""What stands in the place of a PBX beside SIPp: baresip that answers by itself, Kamailio as an SBC in front of SIPp,
and listeners that are no PBX. Each runs at a node until its `with` block ends."""

from __future__ import annotations

import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from lab.laboratory import Lab
from lab.peers import ANSWERERS, kamailio_modules
from lab.scenario import PBX, PBX_PORT, PBX_SECOND

LISTENS_WITHIN_S = 10.0
RTP_PORT = 16000
BEHIND_SBC = 5062
PYTHON = (sys.executable, "-I", "-S")


@contextmanager
def listening(lab: Lab, name: str, command: list[str], *, node: str, ready: tuple[str, int]) -> Iterator[None]:
    """The program, once it has the socket. Raises AssertionError, with what it printed, when it ends before."""
    log = lab.work / f"{name}.log"
    with log.open("w") as output:
        process = lab.popen(command, node=node, root=True, stdout=output.fileno(), stderr=subprocess.STDOUT)
    try:
        end = time.monotonic() + LISTENS_WITHIN_S
        while ready not in lab.node(node).listening():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, f"{name} does not listen: {log.read_text()}"
            time.sleep(0.02)
        yield
        assert process.poll() is None, log.read_text()
    finally:
        process.terminate()  # by which Kamailio takes its children along
        process.wait()


def answerer(lab: Lab, mode: str) -> AbstractContextManager[None]:
    """One of the listeners of `answerers.py` at the PBX's port."""
    command = [*PYTHON, ANSWERERS, "tcp", mode, f"{PBX}:{PBX_PORT}"]
    return listening(lab, mode, command, node="pbx", ready=("tcp", PBX_PORT))


def media(lab: Lab, mode: str, *, node: str = "pbx", address: str = PBX) -> AbstractContextManager[None]:
    """What hears the RTP that the descriptions of `pbx_calls` ask for, and answers as `mode` has it."""
    command = [*PYTHON, ANSWERERS, "rtp", mode, address, str(RTP_PORT), PBX_SECOND]
    return listening(lab, f"rtp-{mode}", command, node=node, ready=("udp", RTP_PORT))


def tls_listener(lab: Lab) -> AbstractContextManager[None]:
    """TLS and nothing else at the PBX's port."""
    files = ["-cert", str(lab.work / "echo.pem"), "-key", str(lab.work / "echo.key")]
    command = ["openssl", "s_server", "-accept", f"{PBX}:{PBX_PORT}", *files, "-quiet"]
    return listening(lab, "tls", command, node="pbx", ready=("tcp", PBX_PORT))


def baresip(
    lab: Lab, number: str, codecs: str, *, node: str = "pbx", address: str = PBX
) -> AbstractContextManager[None]:
    """A baresip that answers calls to `number` by itself, and says a tone. `codecs` in its own words.

    Without a player, what it hears goes nowhere, and no audio hardware is asked for.
    """
    room = lab.work / "baresip"
    room.mkdir(exist_ok=True)
    with wave.open(str(room / "tone.wav"), "wb") as tone:
        tone.setnchannels(1)
        tone.setsampwidth(2)
        tone.setframerate(8000)
        tone.writeframes(b"\x00\x10\x00\xf0" * 40000)
    (room / "config").write_text(
        f"sip_listen {address}:{PBX_PORT}\n"
        f"net_interface uplink\nrtp_ports {RTP_PORT}-{RTP_PORT + 100}\n"
        f"audio_source aufile,{room}/tone.wav\nausrc_srate 8000\nausrc_channels 1\n"
        "module_path /usr/lib/baresip/modules\nmodule g711.so\nmodule aufile.so\n"
        "module_tmp uuid.so\nmodule_tmp account.so\nmodule_app menu.so\n"
    )
    (room / "accounts").write_text(
        f"<sip:{number}@{address}:{PBX_PORT};transport=tcp>;regint=0;answermode=auto;audio_codecs={codecs}\n"
    )
    (room / "contacts").write_text("")
    command = ["baresip", "-4", "-f", str(room)]
    return listening(lab, "baresip", command, node=node, ready=("tcp", PBX_PORT))


def sbc(lab: Lab) -> AbstractContextManager[None]:
    """Kamailio at the PBX's port, that stays in the dialog and hands everything on over UDP to `BEHIND_SBC`.

    Between two transports it records itself twice: a route set of two hops.
    """
    config = lab.work / "sbc.cfg"
    modules = "".join(f'loadmodule "{name}.so"\n' for name in ("tm", "sl", "rr", "pv", "siputils", "textops", "maxfwd"))
    config.write_text(
        f"""#!KAMAILIO
debug=2
log_stderror=yes
children=1
tcp_children=2
dns=no
rev_dns=no
auto_aliases=no
enable_sctp=no
listen=tcp:{PBX}:{PBX_PORT}
listen=udp:{PBX}:{PBX_PORT}
mpath="{kamailio_modules()}/"
{modules}
request_route {{
  if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
  if (is_method("OPTIONS")) {{ sl_send_reply("200", "OK"); exit; }}
  if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
  if (has_totag()) {{
    if (loose_route()) {{ t_relay(); exit; }}
    if (!is_method("ACK")) sl_send_reply("481", "Call Does Not Exist");
    else if (t_check_trans()) t_relay();
    exit;
  }}
  record_route();
  $du = "sip:{PBX}:{BEHIND_SBC}";
  t_relay();
}}
"""
    )
    command = ["kamailio", "-f", str(config), "-DD", "-E", "-m", "16", "-M", "4", "-Y", str(lab.work)]
    return listening(lab, "sbc", command, node="pbx", ready=("tcp", PBX_PORT))
