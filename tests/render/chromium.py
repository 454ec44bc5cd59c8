"""Headless Chromium, spoken to over its debugging pipe, in a network namespace from which nothing can leave."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PATIENCE_S = 120

_FLAGS = (
    "--headless",
    "--no-sandbox",  # it has no user of its own to drop to, inside the namespace
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
)


def missing() -> str | None:
    """Why no browser can be started here."""
    for program in ("chromium", "unshare"):
        if shutil.which(program) is None:
            return f"{program} is not installed: `tests/run` installs it as root on Debian"
    if subprocess.run([*_unshare(), "true"], capture_output=True, check=False).returncode:
        return "no network namespace can be made here"
    return None


def _unshare() -> list[str]:
    return ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-Urn"]


class Browser:
    """One tab. Every request that the page makes is kept in `requests`."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = commands
        self._answers = answers
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.requests: list[str] = []
        self.complaints: list[str] = []

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to one command. What the page does meanwhile is noted."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            heard = self._read()
            if heard.get("id") == self._number:
                assert "error" not in heard, (method, heard)
                result: dict[str, Any] = heard["result"]
                return result
            self._note(heard)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            data = os.read(self._answers, 1 << 20)
            assert data, "the browser is gone"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        decoded: dict[str, Any] = json.loads(message)
        return decoded

    def _note(self, heard: dict[str, Any]) -> None:
        parameters = heard.get("params", {})
        if heard.get("method") == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif heard.get("method") == "Log.entryAdded":
            self.complaints.append(parameters["entry"]["text"])

    def open(self) -> None:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log"):
            self.call(f"{domain}.enable")

    def show(self, page: Path, width: int, *, dark: bool = False, height: int = 800) -> None:
        """Load a file in a window `width` CSS pixels wide."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.requests.clear()
        self.complaints.clear()
        self.call("Page.navigate", url=page.as_uri())
        while self.evaluate("document.readyState") != "complete" or self.evaluate("location.href") == "about:blank":
            pass

    def evaluate(self, expression: str) -> Any:
        """The value of an expression: the debugger's own scripting, which the page's policy does not bind."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def screenshot(self, path: Path | None = None) -> bytes:
        """The whole page as PNG."""
        data = base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"])
        if path is not None:
            path.write_bytes(data)
        return data

    def pdf(self) -> bytes:
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True, preferCSSPageSize=True)["data"])


@contextlib.contextmanager
def open_browser(profile: Path) -> Iterator[Browser]:
    """A browser with nothing in it but an empty `profile` folder; ended, with all its processes, in the end."""
    there, commands = os.pipe()
    answers, back = os.pipe()

    def place_pipes() -> None:
        # The browser reads commands from descriptor 3 and writes answers to 4. The pipes may have these numbers.
        reading, writing = os.dup(there), os.dup(back)
        high = max(reading, writing, 10)
        os.dup2(reading, high + 1)
        os.dup2(writing, high + 2)
        os.dup2(high + 1, 3)
        os.dup2(high + 2, 4)
        signal.alarm(0)

    process = subprocess.Popen(
        [*_unshare(), "chromium", *_FLAGS, f"--user-data-dir={profile}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=place_pipes,
        close_fds=False,
        start_new_session=True,
    )
    os.close(there)
    os.close(back)
    try:
        browser = Browser(commands, answers)
        browser.open()
        yield browser
    finally:
        with contextlib.suppress(OSError):
            os.write(commands, b'{"id":0,"method":"Browser.close"}\0')
        os.close(commands)
        os.close(answers)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
