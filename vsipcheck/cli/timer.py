"""`vsipcheck timer`: a crontab line, or a systemd service and timer, printed and never installed."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import zlib
from collections.abc import Callable

from vsipcheck.cli.options import Action, Request, UsageError
from vsipcheck.cli.output import write_stdout
from vsipcheck.cli.recording import COMMAND_TIMEOUT_S, MAX_SPLAY_S, PING_TIMEOUT_S

MINUTES_PER_HOUR, MINUTES_PER_DAY = 60, 1440
DEFAULT_SPLAY_S = 30.0


def print_timer(request: Request, parse: Callable[[list[str]], Action]) -> int:
    """`parse` reads a command line.

    Raises UsageError for a period that cron cannot keep, or options that `all` does not take.
    """
    every = request.every
    if every < 1 or (MINUTES_PER_HOUR % every if every < 60 else every % 60 or MINUTES_PER_DAY % every):
        raise UsageError(
            f"--every: expected minutes that divide an hour, or whole hours that divide a day; found {every}"
        )
    if not 0 <= request.splay <= MAX_SPLAY_S:
        raise UsageError(f"--splay: expected seconds from 0 to {MAX_SPLAY_S:g}, found {request.splay:g}")
    splay_s = request.splay or min(DEFAULT_SPLAY_S, every * 60 / 2)
    options = list(request.run_options or ())
    deadline_s = _checked_deadline_s(options, parse)
    write = _cron if request.scheduler == "cron" else _systemd
    write_stdout(write(every, splay_s, deadline_s, options))
    return 0


def _cron(every: int, splay_s: float, deadline_s: float, options: list[str]) -> str:
    command = shlex.join([*_program(), "all", "--cron", "--splay", f"{splay_s:g}", *options])
    if every < MINUTES_PER_HOUR:
        # Not on the full hour, when everybody's jobs run; the same minute each time for this host.
        first = zlib.crc32(os.uname().nodename.encode() if hasattr(os, "uname") else b"") % every
        when = f"{first}-59/{every} * * * *" if every > 1 else "* * * * *"
    else:
        first = zlib.crc32(os.uname().nodename.encode() if hasattr(os, "uname") else b"") % MINUTES_PER_HOUR
        hours = every // MINUTES_PER_HOUR
        when = f"{first} {'*' if hours == 1 else '0' if hours == 24 else f'*/{hours}'} * * *"
    return (
        "# crontab -e. It mails only when the state changes; the exit code 75 means that a run was still under way.\n"
        "# MAILTO=you@example.org\n" + when + " " + command.replace("%", "\\%") + "\n"
    )


def _systemd(every: int, splay_s: float, deadline_s: float, options: list[str]) -> str:
    program = _program()
    command = " ".join(_unit_word(word) for word in (*program, "all", "--cron", *options))
    # A program below somebody's home has to be seen to be run.
    home = "read-only" if program[0].startswith(("/home/", "/root/", "/run/user/")) else "yes"
    limit_s = deadline_s + COMMAND_TIMEOUT_S + PING_TIMEOUT_S + 30
    if every < MINUTES_PER_HOUR:
        when = f"*:0/{every}"
    else:
        when = "daily" if every == MINUTES_PER_DAY else f"0/{every // MINUTES_PER_HOUR}:00"
    return f"""\
# /etc/systemd/system/vsipcheck.service
[Unit]
Description=Check the SIP trunk
Documentation=man:systemd.exec(5)
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
ExecStart={command}
# Another run was still under way.
SuccessExitStatus=75
TimeoutStartSec={limit_s:g}
DynamicUser=yes
StateDirectory=vsipcheck
StateDirectoryMode=0700
UMask=0077
CapabilityBoundingSet=
AmbientCapabilities=
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome={home}
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
LockPersonality=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM

# /etc/systemd/system/vsipcheck.timer
[Unit]
Description=Check the SIP trunk regularly

[Timer]
OnCalendar={when}
RandomizedDelaySec={splay_s:g}
Persistent=no

[Install]
WantedBy=timers.target

# systemctl daemon-reload && systemctl enable --now vsipcheck.timer
# What the runs saw: vsipcheck history --state /var/lib/private/vsipcheck/history.sqlite
"""


def _checked_deadline_s(options: list[str], parse: Callable[[list[str]], Action]) -> float:
    """How long a run with these options may take. Raises UsageError: a typing error must not wait for the night."""
    from vsipcheck.cli.run import profile_for
    from vsipcheck.cli.settings import settings_for

    action = None if {"-h", "--help"} & set(options) else parse(["all", "--cron", *options])
    request = next(iter(getattr(action, "args", ())), None)
    if not isinstance(request, Request):
        raise UsageError("timer: expected options of `vsipcheck all` after --")
    return request.splay + settings_for(request, profile_for(request)).deadline_s


def _program() -> list[str]:
    """The absolute path of this program; cron and systemd know no other."""
    started = sys.argv[0] if sys.argv else ""
    if os.path.basename(started) == "vsipcheck" and (found := shutil.which(started)):
        return [os.path.abspath(found)]
    if found := shutil.which("vsipcheck"):
        return [os.path.abspath(found)]
    return [sys.executable, "-m", "vsipcheck"]


def _unit_word(word: str) -> str:
    """One word of ExecStart, quoted as systemd.service(5) asks for; `%` and `$` stand for themselves."""
    word = word.replace("\\", "\\\\").replace("%", "%%").replace("$", "$$")
    if word and not any(character in word for character in " \t\n'\";"):
        return word
    return '"' + word.replace('"', '\\"').replace("\n", "\\n") + '"'
