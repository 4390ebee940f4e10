"""Make ``.venv`` with all that the project needs, or complete one that an earlier run left unfinished.

    python3 tools/setup_env.py            # what `make setup` runs; quick when nothing is left to do
    python3 tools/setup_env.py --check    # only say what stands in the way, change nothing

Needs nothing but Python. This file keeps to syntax that old Pythons read, so that they get a sentence, not a traceback.
"""

import os
import subprocess
import sys

SUPPORTED = ((3, 11), (3, 12), (3, 10))  # in the order they are looked for


def find_python(path):
    """The first supported interpreter on ``path`` that really starts (a version manager's shim may not), or None."""
    for major, minor in SUPPORTED:
        for folder in path.split(os.pathsep):
            candidate = os.path.join(folder, f'python{major}.{minor}')
            if not os.access(candidate, os.X_OK):
                continue
            probe = f'import sys, ensurepip; print(sys.version_info[:2] == ({major}, {minor}))'
            result = subprocess.run([candidate, '-c', probe], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            if result.returncode == 0 and result.stdout.strip() == b'True':
                return candidate
    return None


def main():
    if sys.version_info[:2] not in SUPPORTED:
        own = '{}.{}'.format(*sys.version_info[:2])
        other = find_python(os.environ.get('PATH', ''))
        if other is None:
            sys.exit(
                f'Python {own} cannot run this project: it needs 3.10, 3.11 or 3.12, and none of them is on PATH.\n'
                'Install one (Debian/Ubuntu: apt install python3.11 python3.11-venv python3.11-dev; or pyenv, conda)\n'
                'and run again, naming it if it is not on PATH: make setup PYTHON=/path/to/python3.11'
            )
        sys.stderr.write(f'Python {own} is not supported by this project; using {other}\n')
        sys.stderr.flush()
        os.execv(other, [other, *sys.argv])

    from _env.main import run

    sys.exit(run(sys.argv[1:]))


if __name__ == '__main__':
    main()
