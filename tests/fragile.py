"""SeaweedFS as it is in a bad week: frozen, killed, and back with its data."""

import signal
import subprocess

from tests.servers import S3Server, stop, wait_until

_NEWEST = 50


class FragileServer:
    """SeaweedFS that a test may freeze or kill, and bring back with its data."""

    def __init__(self, server: S3Server) -> None:
        self.server = server
        self._revived: subprocess.Popen[bytes] | None = None

    def freeze(self) -> None:
        """Let it accept connections and answer nothing."""
        (self._revived or self.server.process).send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        (self._revived or self.server.process).send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a power cut would."""
        running = self._revived or self.server.process
        running.kill()
        running.wait(10)

    def revive(self) -> None:
        """Start it again on its data and its ports."""
        arguments = self.server.process.args
        assert isinstance(arguments, list)
        with (self.server.directory / "log").open("ab") as log:
            self._revived = subprocess.Popen(
                arguments, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.server.directory
            )
        wait_until(self._answers, 60, "the server to be back")

    def close(self) -> None:
        """End what was revived."""
        if self._revived is not None:
            stop(self._revived)

    def _answers(self) -> bool:
        """Return whether it answers, and for its newest objects, too: it may listen before it has found them again."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        client = self.server.client
        try:
            for bucket in client.list_buckets()["Buckets"]:
                found = client.list_objects_v2(Bucket=bucket["Name"]).get("Contents", ())
                for one in sorted(found, key=lambda one: one["LastModified"])[-_NEWEST:]:
                    client.get_object(Bucket=bucket["Name"], Key=one["Key"])["Body"].read()
        except (BotoCoreError, ClientError):
            return False
        return True
