"""No lab test is skipped in silence: it says why, and fails where the lab is required."""

from __future__ import annotations

import os

import pytest

from lab import obstacle


@pytest.fixture(autouse=True, scope="session")
def lab_works_here() -> None:
    """Skips with the reason where no lab can be built; with VSIPCHECK_LAB=required that is a failure."""
    reason = obstacle()
    if reason is None:
        return
    if os.environ.get("VSIPCHECK_LAB") == "required":
        pytest.fail(f"the lab is required, but: {reason}", pytrace=False)
    pytest.skip(f"no lab here: {reason}")
