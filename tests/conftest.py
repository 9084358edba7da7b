"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

# Tests run in parallel, a process a core: more threads each would only fight.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# They share their processors: how long an example takes is no sign of a defect.
hypothesis.settings.register_profile("paddock", deadline=None)
hypothesis.settings.load_profile("paddock")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kill-offset",
        type=int,
        default=0,
        help="shifts the file operations at which tests/stages/test_killed.py kills: 0 to 52 together are all of them",
    )


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets, for checks on real input; skipped where PADDOCK_TEST_DATA is unset."""
    folder = os.environ.get("PADDOCK_TEST_DATA")
    if not folder:
        pytest.skip("PADDOCK_TEST_DATA is not set")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"PADDOCK_TEST_DATA is {folder!r}, which is not a folder")
    return path


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """Where real data is promised, a test that skips did not do its work: it fails."""
    report = yield
    if report.skipped and os.environ.get("PADDOCK_TEST_DATA"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped where PADDOCK_TEST_DATA is set: {report.longrepr}"
    return report
