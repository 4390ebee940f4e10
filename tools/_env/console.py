"""Running commands with signs of life: output goes to a log, the terminal gets stage, time and the last line."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

HEARTBEAT_SECONDS = 30  # between lines where there is no terminal to redraw


class SetupError(Exception):
    """Something the user can mend; the text says what it is and how."""


class CommandError(SetupError):
    """A command that failed. ``output`` is the end of what it printed."""

    def __init__(self, message: str, output: str) -> None:
        super().__init__(message)
        self.output = output


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f'{minutes} min {rest:02d} s' if minutes else f'{rest} s'


class Console:
    """Prints stages as ``[2/6] ...`` and runs their commands, everything they print going to ``log``.

    ``keep_open``: file descriptors that commands inherit (the set-up's lock: it must last as long as they do).
    """

    def __init__(self, log: Path, total: int, keep_open: Sequence[int] = (), stream: TextIO = sys.stdout) -> None:
        self.log = log
        self.total = total
        self.keep_open = tuple(keep_open)
        self.stream = stream
        self._started = time.monotonic()
        self._label = ''

    def say(self, text: str) -> None:
        print(text, file=self.stream, flush=True)

    def begin(self, number: int, title: str) -> None:
        self._started = time.monotonic()
        self._label = f'[{number}/{self.total}]'
        self.say(f'{self._label} {title} ...')

    def end(self, note: str = 'done') -> None:
        self.say(f'{self._label} {note} in {duration(time.monotonic() - self._started)}')

    def run(self, command: Sequence[str | Path], env: dict[str, str] | None = None) -> str:
        """Run ``command`` to its end and return what it printed. Raises ``CommandError`` if it fails."""
        with self.log.open('ab') as log:
            log.write(f'\n$ {" ".join(map(str, command))}\n'.encode())
            log.flush()
            start = log.tell()
            process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                pass_fds=self.keep_open,
            )
            try:
                self._wait(process)
            except BaseException:
                process.terminate()
                process.wait()
                raise
        output = self.log.read_bytes()[start:].decode(errors='replace')
        if process.returncode:
            tail = '\n'.join(f'    {line}' for line in output.strip().splitlines()[-15:])
            name = ' '.join(str(part) for part in command[:5])
            raise CommandError(f'this command failed: {name} ...\n{tail}\n  whole log: {self.log}', output)
        return output

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        redraw = self.stream.isatty()
        pause, last = (1.0 if redraw else HEARTBEAT_SECONDS), ''
        while True:
            try:
                process.wait(timeout=pause)
                break
            except subprocess.TimeoutExpired:
                line = f'      {duration(time.monotonic() - self._started)}  {self._last_line()}'[:100]
                self.stream.write(f'\r{line:<{len(last)}}' if redraw else f'{line}\n')
                self.stream.flush()
                last = line
        if redraw and last:
            self.stream.write('\r' + ' ' * len(last) + '\r')

    def _last_line(self) -> str:
        with self.log.open('rb') as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 2000))
            lines = log.read().decode(errors='replace').replace('\r', '\n').split('\n')
        return next((line.strip() for line in reversed(lines) if line.strip()), '')
