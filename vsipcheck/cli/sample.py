"""`vsipcheck config sample`: a configuration of the trunk to start from."""

from __future__ import annotations

from vsipcheck.cli.options import Request
from vsipcheck.cli.output import write_stdout
from vsipcheck.cli.run import profile_for
from vsipcheck.cli.settings import settings_for


def print_sample(request: Request) -> int:
    profile = profile_for(request)
    settings = settings_for(request, profile)
    from vsipcheck.samples import sample

    text = sample(request.sample, profile, account_sid=settings.account_sid, public_ip=settings.public_address)
    write_stdout(text, machine=True)
    return 0
