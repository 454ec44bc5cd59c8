"""Fixtures of the network room: the scenarios' observations, a TLS authority of our own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from net.namespaces import observe, why_unavailable

from vsipcheck.net.host import HostNetwork


@pytest.fixture
def network() -> Iterator[HostNetwork]:
    with HostNetwork() as network:
        yield network


@pytest.fixture(scope="session")
def observed() -> dict[str, Any]:
    """What every scenario inside the small network saw."""
    reason = why_unavailable()
    if reason is not None:
        if os.environ.get("VSIPCHECK_LAB") == "required":
            pytest.fail(f"a network of namespaces is required here, but {reason}")
        pytest.skip(f"needs a network of namespaces: {reason}")
    return observe()


@dataclass(frozen=True)
class Authority:
    """A certificate authority's file, and the certificates that it signed."""

    ca: Path
    good: tuple[Path, Path]  # for echo.test and 127.0.0.1
    stranger: tuple[Path, Path]  # for another name


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if shutil.which("openssl") is None:
        pytest.fail("the openssl command makes the certificates of these tests and is not installed")
    room = tmp_path_factory.mktemp("tls")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=room, check=True, capture_output=True)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    usage = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test CA", "-days", "2", *usage)

    def sign(name: str, subject: str, alternatives: str) -> tuple[Path, Path]:
        openssl("req", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={subject}")
        (room / f"{name}.ext").write_text(
            f"subjectAltName={alternatives}\nbasicConstraints=CA:FALSE\n"
            "authorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n"
        )
        signing = ("x509", "-req", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2")
        openssl(*signing, "-in", f"{name}.csr", "-out", f"{name}.pem", "-extfile", f"{name}.ext")
        return (room / f"{name}.pem", room / f"{name}.key")

    good = sign("good", "echo.test", "DNS:echo.test,IP:127.0.0.1")
    stranger = sign("stranger", "other.test", "DNS:other.test")
    return Authority(room / "ca.pem", good, stranger)
