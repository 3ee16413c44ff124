"""Ask a program about a file: on a copy in a private directory, never on the live file.

Some programs rewrite what they check, some succeed whatever they find: hence
the copy, and hence samples that are not optional. A program that is missing,
killed or too slow has said nothing about the file (P6).
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from confstream.masking import mask_text
from confstream.validate.finding import MESSAGE_LENGTH_MAX, Finding, NotCheckedError, Samples

FILE = "{file}"
"""Stands for the path of the copy in the arguments; without it the path comes last."""

OUTPUT_SIZE_MAX = 1 << 16
_NOT_STARTED = (126, 127)
_DRAIN_SECONDS = 2.0
_PLACE = re.compile(r"\bline[ :=]{1,3}(\d{1,9})(?:,? {0,3}(?:col|column|char)[ :=]{1,3}(\d{1,9}))?", re.IGNORECASE)


@dataclass(frozen=True)
class CommandValidator:
    """A program that exits with a code in *accepts* for a valid file and with another one for an invalid file.

    *samples* are required: a program that lacks a module fails for every
    file, and only a good sample tells that from an invalid one. The program
    gets a copy of the file under its own name, an environment of its own plus
    *environment*, and *timeout_seconds*; then its whole process group is
    killed. What it prints may quote the file, so only a place is taken from
    it (``line 3, column 5``) unless *shows_output*; then the first line, masked.
    """

    name: str
    argv: Sequence[str]
    samples: Samples
    timeout_seconds: float = 10.0
    accepts: Collection[int] = (0,)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    shows_output: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be run, or could never say no."""
        if not self.name or not self.argv or not self.argv[0]:
            raise ValueError(f"the validator {self.name!r} needs a name and a command")
        if self.timeout_seconds <= 0:
            raise ValueError(
                f"the validator {self.name} has a timeout of {self.timeout_seconds} s, expected more than 0"
            )
        if not self.accepts:
            raise ValueError(f"the validator {self.name} accepts no exit code, so nothing would be valid")

    def check(self, path: bytes, content: bytes) -> list[Finding]:
        """Return what the program's exit code says; raise ``NotCheckedError`` if it came to no answer."""
        with tempfile.TemporaryDirectory(prefix="confstream-", ignore_cleanup_errors=True) as directory:
            name = path.rpartition(b"/")[2]
            copy = Path(directory, os.fsdecode(name))
            descriptor = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, so that it is private from the start
                file.write(content)
            code, output = self._run(Path(directory), copy)
        if code in self.accepts:
            return []
        if code < 0:
            raise NotCheckedError(f"the program was killed by signal {-code}")
        if code in _NOT_STARTED:
            raise NotCheckedError(f"the program could not be started: exit code {code}")
        return [self._finding(code, output, directory, name)]

    def _run(self, directory: Path, copy: Path) -> tuple[int, bytes]:
        """Return exit code and the beginning of what the program printed; nothing of it runs on afterwards."""
        try:
            process = subprocess.Popen(  # noqa: S603 - whoever configures confstream chose the program
                self._arguments(copy),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=directory,
                env=self._environment(directory),
                start_new_session=True,
                umask=0o077,
            )
        except OSError as error:
            raise NotCheckedError(f"{self.argv[0]} cannot be started: {error.strerror or error}") from error
        kept = bytearray()
        # It must never wait for somebody to read: what is too much is thrown away.
        drain = threading.Thread(target=_drain, args=(process.stdout, kept), daemon=True)
        drain.start()
        try:
            code = process.wait(self.timeout_seconds)
        except subprocess.TimeoutExpired as error:
            raise NotCheckedError(f"the program took longer than {self.timeout_seconds:g} s") from error
        finally:
            _end(process)
            # One that left its session may hold the pipe open; it is not waited for.
            drain.join(_DRAIN_SECONDS)
        return code, bytes(kept)

    def _arguments(self, copy: Path) -> list[str]:
        program = shutil.which(self.argv[0])
        if program is None:
            raise NotCheckedError(f"the program {self.argv[0]} is not there or not executable")
        if not any(FILE in argument for argument in self.argv):
            return [program, *self.argv[1:], str(copy)]
        return [program, *(argument.replace(FILE, str(copy)) for argument in self.argv[1:])]

    def _environment(self, directory: Path) -> dict[str, str]:
        """Return what the program needs to run: the credentials of the replica are none of its business (P12)."""
        private = {"HOME": str(directory), "TMPDIR": str(directory), "LANG": "C.UTF-8"}
        return {"PATH": os.pathsep.join(os.get_exec_path()), **private, **self.environment}

    def _finding(self, code: int, output: bytes, directory: str, name: bytes) -> Finding:
        text = output.decode("utf-8", "replace").replace(f"{directory}/", "")
        match = _PLACE.search(text)
        line, column = (int(match[1]), int(match[2] or 0)) if match else (0, 0)
        message = f"{self.name} exited with {code}"
        if self.shows_output:
            lines = (one.strip() for one in mask_text(text, name).splitlines())
            first = next((one for one in lines if one), "")
            message = f"{message}: {first[:MESSAGE_LENGTH_MAX]}" if first else message
        return Finding(line, column, message)


def _drain(pipe: IO[bytes], kept: bytearray) -> None:
    with pipe:
        while part := pipe.read1(OUTPUT_SIZE_MAX):  # type: ignore[attr-defined]
            kept += part[: OUTPUT_SIZE_MAX - len(kept)]


def _end(process: subprocess.Popen[bytes]) -> None:
    # Nothing of the group may be left, or zombies only: macOS refuses those.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    # To the first process of a container the rest of the group are children now, which it has to bury.
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-process.pid, 0)
