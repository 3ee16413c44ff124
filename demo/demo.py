"""See a configuration protected, broken, lost and brought back: ``make demo``.

Real commands, a real directory, a plain directory as replica. Every step checks the bytes
that it speaks of, and the first one that is not so ends the demo with an error.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import confstream

DEADLINE_SECONDS = 15.0
COMMAND = [sys.executable, "-m", "confstream_cli"]
COLOUR = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

CONFIG = """\
mqtt:
  host: mqtt.example
  user: frigate
  password: not-a-real-password

cameras:
  front_door:
    ffmpeg:
      inputs:
        - path: rtsp://viewer:not-a-real-password@camera.example:554/stream1
          roles: [detect, record]
    detect:
      width: 1280
      height: 720
      fps: 5
"""
WITH_GARDEN = (
    CONFIG
    + """\
  garden:
    ffmpeg:
      inputs:
        - path: rtsp://viewer:not-a-real-password@camera.example:554/stream2
          roles: [detect]
    detect:
      width: 640
      height: 360
      fps: 5
"""
)
BETTER = WITH_GARDEN.replace("fps: 5", "fps: 10", 1)
SAVES = [CONFIG, WITH_GARDEN, BETTER, ""]
PRIVATE = 0o600
ZONES = '{"front_door": [[0, 0], [1280, 0], [1280, 720]]}\n'


class _Demo:
    """A tree, a replica, and the process that keeps the one in the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tree = folder / "config"
        self.replica = folder / "replica"
        self.config = self.tree / "config.yml"
        self.clock = confstream.SystemClock()
        self.step_number = 0
        self.good_time_ns = 0
        self.sidecar: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        self.protect()
        self.edit()
        self.look_back()
        self.lose_and_restore()
        self.go_back_in_time()
        self.prove()

    def protect(self) -> None:
        self.say("An application's configuration, and a sidecar that protects it.")
        (self.tree / "masks").mkdir(parents=True)
        self.config.write_text(CONFIG, encoding="utf-8")
        self.config.chmod(PRIVATE)
        (self.tree / "masks" / "zones.json").write_text(ZONES, encoding="utf-8")
        self.show("replicate", "config", "replica")
        with (self.folder / "sidecar.log").open("wb") as log:
            self.sidecar = subprocess.Popen(
                [*COMMAND, "replicate", "config", "replica"], cwd=self.folder, stderr=log, env=environment()
            )
        self.wait_for("the first revision", lambda: self.published() == CONFIG.encode())
        self.tell(f"published: {(self.tree / 'masks' / 'zones.json').relative_to(self.folder)} and config/config.yml")

    def edit(self) -> None:
        self.say("The application saves as they do: it truncates its file and writes it again in pieces.")
        with self.config.open("r+", encoding="utf-8") as file:
            file.truncate(0)
            for piece in WITH_GARDEN.splitlines(keepends=True):
                file.write(piece)
                file.flush()
        self.wait_for("the whole file", lambda: self.published() == WITH_GARDEN.encode())
        self.tell("published whole: no half-written state is in the history, as the log below shows")
        self.say("Somebody saves in the web UI; it writes a new file and renames it into place.")
        self.good_time_ns = self.save(BETTER)
        self.say("A disk runs full, and the next save leaves an empty file.")
        self.config.write_bytes(b"")
        self.wait_for("the blank file", lambda: self.published() == b"")
        self.tell("recorded, and marked as suspicious: it will not be what a restore brings back")

    def save(self, text: str) -> int:
        new = self.config.with_name("config.yml.tmp")
        new.write_text(text, encoding="utf-8")
        new.chmod(PRIVATE)
        new.replace(self.config)
        self.wait_for("the save", lambda: self.published() == text.encode())
        self.tell("published")
        return self.clock.now_ns()

    def look_back(self) -> None:
        self.say("What happened?")
        listed = self.confstream("log", "replica")
        rows = [line for line in listed.splitlines() if " replicate " in line]
        check(len(rows) == len(SAVES) and "suspicious" in rows[0], "four changes, the newest of them suspicious")
        self.say("What has changed since the beginning, but for the accident? Secrets are masked.")
        shown = self.confstream("diff", "replica", "-3", "-1")
        check("+      fps: 10" in shown and "not-a-real-password" not in shown, "the diff shows the change, no secret")

    def lose_and_restore(self) -> None:
        self.say("The pod goes away, and the volume with it.")
        self.stop()
        shutil.rmtree(self.tree)
        self.tell("rm -rf config")
        self.say("The new pod's init container restores the newest good state, and says what it left out.")
        self.confstream("restore", "--if-missing", "--guard", "config.yml", "replica", "config")
        check(self.config.read_bytes() == BETTER.encode(), "config.yml is back, byte for byte")
        check(self.config.stat().st_mode & 0o777 == PRIVATE, "with its mode, 0600")
        check((self.tree / "masks" / "zones.json").read_text(encoding="utf-8") == ZONES, "and so is masks/zones.json")
        self.say("The pod restarts: the configuration is present, so nothing is touched, nor asked.")
        self.confstream("restore", "--if-missing", "--guard", "config.yml", "replica", "config")
        check(self.config.read_bytes() == BETTER.encode(), "config.yml is as it was")

    def go_back_in_time(self) -> None:
        self.say("One file as it was at a moment; a file that is there is only replaced with --force.")
        moment = confstream.format_utc(self.good_time_ns)
        self.confstream("restore", "replica", "elsewhere", "--path", "config.yml", "--timestamp", moment)
        check((self.folder / "elsewhere" / "config.yml").read_bytes() == BETTER.encode(), "the file of that moment")
        self.confstream("restore", "replica", "config", "--path", "config.yml", "--revision", "1", expected=4)
        check(self.config.read_bytes() == BETTER.encode(), "refused (exit code 4), and nothing was changed")
        self.confstream("restore", "replica", "config", "--path", "config.yml", "--revision", "1", "--force")
        check(self.config.read_bytes() == CONFIG.encode(), "with --force: the file of revision 1")

    def prove(self) -> None:
        self.say("Is all of it really there? Every object is read and checked.")
        shown = self.confstream("verify", "replica")
        check("can be restored" in shown, "every revision can be restored")

    def confstream(self, *arguments: str, expected: int = 0) -> str:
        """Run a command as a person would, and return what it prints."""
        self.show(*arguments)
        ended = subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=DEADLINE_SECONDS,
        )
        for line in ended.stdout.splitlines():
            print("  " + line)
        if ended.returncode != expected:
            fail(f"exit code {ended.returncode}, expected {expected}")
        return ended.stdout

    def published(self) -> bytes | None:
        """Return the newest config.yml on the replica."""
        with suppress(confstream.ConfstreamError), confstream.History.open(str(self.replica)) as history:
            return history.read("config.yml")
        return None

    def wait_for(self, what: str, holds: Callable[[], bool]) -> None:
        until = self.clock.elapsed_seconds() + DEADLINE_SECONDS
        never = threading.Event()
        while not holds():
            if self.sidecar is not None and self.sidecar.poll() is not None:
                fail(f"replicate ended with code {self.sidecar.returncode}\n{self.log()}")
            if self.clock.elapsed_seconds() > until:
                fail(f"{what} did not reach the replica in {DEADLINE_SECONDS:g} s\n{self.log()}")
            self.clock.wait(never, 0.05)

    def stop(self) -> None:
        if self.sidecar is None:
            return
        self.sidecar.terminate()
        code = self.sidecar.wait(DEADLINE_SECONDS)
        self.sidecar = None
        check(code == 0, "the sidecar published what was left, and ended with code 0")

    def close(self) -> None:
        if self.sidecar is not None and self.sidecar.poll() is None:
            self.sidecar.kill()
            self.sidecar.wait()

    def log(self) -> str:
        return (self.folder / "sidecar.log").read_text(encoding="utf-8", errors="replace")

    def say(self, text: str) -> None:
        self.step_number += 1
        print(f"\n{paint(f'{self.step_number}. {text}', '1')}")

    def show(self, *arguments: str) -> None:
        print(paint(f"  $ confstream {shlex.join(arguments)}", "36"), flush=True)

    def tell(self, text: str) -> None:
        print(f"  {text}", flush=True)


def environment() -> dict[str, str]:
    """Return the environment for a command, without what this machine has set for confstream."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CONFSTREAM_")}
    # Wherever this program found confstream, the command finds it, too.
    return kept | {"PYTHONPATH": os.pathsep.join([path for path in sys.path if path]), "COLUMNS": "110"}


def check(holds: bool, text: str) -> None:
    if not holds:
        fail(f"not so: {text}")
    print(paint(f"  ✓ {text}", "32"), flush=True)


def fail(text: str) -> None:
    print(paint(f"  ✗ {text}", "31"), flush=True)
    raise SystemExit(1)


def paint(text: str, style: str) -> str:
    return f"\x1b[{style}m{text}\x1b[0m" if COLOUR else text


def main() -> None:
    clock = confstream.SystemClock()
    began = clock.elapsed_seconds()
    with tempfile.TemporaryDirectory(prefix="confstream-demo-") as folder:
        demo = _Demo(Path(folder))
        try:
            demo.run()
        finally:
            demo.close()
    print(paint(f"\nEverything was as it should be, in {clock.elapsed_seconds() - began:.0f} s.", "1"))


if __name__ == "__main__":
    main()
