"""The command: every check, a line each; exit code 1 if something essential is broken."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator, Sequence

from flmm_plugin import __version__
from flmm_plugin.doctor.certify import certify
from flmm_plugin.doctor.findings import Finding, Level
from flmm_plugin.doctor.lmm import check_lmm
from flmm_plugin.doctor.machine import check_disk, check_gpu, check_operators, has_gpu
from flmm_plugin.doctor.packages import check_combinations, check_packages, check_python, installed_version


def examine(lmm: str | None, certified: bool = False) -> Iterator[Finding]:
    yield check_python()
    yield from check_packages()
    names = ('transformers', 'xtuner', 'bitsandbytes', 'triton')
    yield from check_combinations({name: installed_version(name) for name in names}, has_gpu())
    yield from check_operators()
    yield check_gpu()
    yield from check_disk()
    if lmm is not None:
        yield from check_lmm(lmm)
        if certified:
            yield from certify(lmm)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog='python -m flmm_plugin.doctor', description=__doc__)
    parser.add_argument('--lmm', metavar='PATH_OR_NAME', help='also look at how this LMM computes its attention')
    parser.add_argument('--certify', action='store_true', help='check on the LMM itself that grounding works')
    options = parser.parse_args(arguments)
    if options.certify and options.lmm is None:
        parser.error('--certify needs --lmm')
    warnings.simplefilter('ignore')
    print(f'flmm_plugin {__version__}')
    found = []
    for finding in examine(options.lmm, options.certify):
        print(finding, flush=True)
        found.append(finding)
    failures = sum(finding.level is Level.FAIL for finding in found)
    remarks = sum(finding.level is Level.WARN for finding in found)
    print(f'\n{failures} essential {"thing is" if failures == 1 else "things are"} broken, {remarks} to look at')
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
