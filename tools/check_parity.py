"""Compare this implementation with outputs of the authors' code, case by case.

A case is a folder with ``image.png``, ``expected.json`` and ``expected.safetensors``; its weights are ``lmm/`` and
``flmm.safetensors`` in the folder given by ``--weights``.
"""

import argparse
import sys
from contextlib import redirect_stdout

from flmm_plugin.apis.parity import FAMILIES, check_case
from flmm_plugin.errors import readable_errors
from flmm_plugin.plain_json import to_json


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('case', help='folder of the case')
    parser.add_argument('--weights', required=True, help='folder with lmm/ and flmm.safetensors')
    parser.add_argument('--family', choices=sorted(FAMILIES), help="default: the LMM's own model type")
    parser.add_argument('--json', action='store_true', help='print one JSON object')
    args = parser.parse_args()
    # Logs go to stderr, so that --json prints JSON alone.
    with readable_errors(), redirect_stdout(sys.stderr):
        differences = check_case(args.case, args.weights, args.family)
    if args.json:
        print(to_json({d.name: dict(value=d.value, tolerance=d.tolerance, passed=d.passed) for d in differences}))
    else:
        for d in differences:
            print(f'{d.value:.2e}  (at most {d.tolerance:.0e})  {"ok  " if d.passed else "OVER"}  {d.name}')
    return 0 if all(d.passed for d in differences) else 1


if __name__ == '__main__':
    sys.exit(main())
