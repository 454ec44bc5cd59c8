"""One call of a dead-man's switch: a URL that somebody watches for silence."""

from __future__ import annotations

import threading

from vsipcheck import VERSION
from vsipcheck.model import Failure
from vsipcheck.net.failures import from_exception


def call(url: str, *, timeout_s: float) -> Failure | None:
    """None once the URL has answered with a status below 400; else how it failed. Takes no longer than `timeout_s`.

    Unlike the address echo this proves nothing about the trunk, so the environment's proxies are used: a host whose
    only way to the web is a proxy is alive all the same. What goes wrong is told as a word, never as a text: URLs and
    proxies hold secrets.
    """
    outcome: list[Failure | None] = []

    def get() -> None:
        import httpx

        try:
            with httpx.Client(timeout=timeout_s, headers={"User-Agent": f"vsipcheck/{VERSION}"}) as client:
                with client.stream("GET", url) as response:
                    outcome.append(None if response.status_code < 400 else Failure.HTTP_STATUS)
        except Exception as error:
            outcome.append(from_exception(error))

    # Looking the name up has no time-out of its own; a daemon thread is not waited for when the process ends.
    thread = threading.Thread(target=get, name="ping", daemon=True)
    thread.start()
    thread.join(timeout_s)
    return outcome[0] if outcome else Failure.NO_ANSWER
