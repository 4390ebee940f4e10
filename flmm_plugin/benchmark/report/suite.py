"""The tests of the checkout, run in this process and counted as they go."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from flmm_plugin.errors import UserError

ROOT = Path(__file__).resolve().parents[3]
#: Where the tests of conformance are run, by torch's name.
DEVICE_VARIABLE = 'FLMM_TEST_DEVICE'


class Outcomes:
    """A plugin of pytest that passes the count on at the end of every test."""

    def __init__(self, device: str, keep: Callable[[dict[str, Any]], None]) -> None:
        self.count: dict[str, Any] = dict(device=device, passed=0, skipped=0, failed=[], finished=False)
        self.keep = keep

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.count['failed'].append(f'{report.nodeid}: {reason(report)}')
        elif report.skipped:
            self.count['skipped'] += 1
        elif report.when == 'call':
            self.count['passed'] += 1
        if report.when == 'teardown':
            self.keep(self.count)

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.count['failed'].append(f'{report.nodeid}: {reason(report)}')

    def pytest_sessionfinish(self) -> None:
        self.count['finished'] = True
        self.keep(self.count)


def reason(report: Any) -> str:
    crash = getattr(report.longrepr, 'reprcrash', None)
    return str(getattr(crash, 'message', report.longrepr)).strip().splitlines()[-1 if crash is None else 0][:300]


def run_suite(arguments: Sequence[str], device: str, keep: Callable[[dict[str, Any]], None]) -> None:
    """Run pytest in the checkout with ``arguments``.

    Raises:
        UserError: there is no pytest, or the package is not in a checkout.
    """
    if not (ROOT / 'tests').is_dir():
        raise UserError(f'{ROOT} is no checkout: there are no tests')
    try:
        import pytest
    except ImportError as error:
        raise UserError('there is no pytest to run the tests with') from error
    os.chdir(ROOT)
    os.environ[DEVICE_VARIABLE] = device
    options = ['-q', '--no-header', '-p', 'no:cacheprovider', '--continue-on-collection-errors', '--tb=short']
    pytest.main([*options, *arguments], plugins=[Outcomes(device, keep)])
