"""A secret in every place that can hold one, and all that any command says searched for it (P12)."""

import json
import os
import stat
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import confstream
from confstream.observe.ping import PingUrl
from confstream.settings import parse
from confstream.store.open import open_store
from confstream_cli import environment
from tests.commands import Shell
from tests.processes import confstream as started
from tests.processes import run_confstream
from tests.servers import free_port, wait_until

CANARY = "canary7c31"
_NOBODY = "127.0.0.1:1"

_FILES = {
    "config.yml": f"mqtt:\n  host: broker\n  password: {CANARY}a\n  url: rtsp://me:{CANARY}b@host/live\n",
    "secrets.yaml": f"anything: {CANARY}c\n",
    "broken.yml": f"a: [\n  password: {CANARY}d\n token: '{CANARY}e\n",
    "app.json": json.dumps({"api_key": f"{CANARY}f", "n": {"token": f"{CANARY}g"}}),
    "broken.json": f'{{"token": "{CANARY}h" "x"}}',
    "app.ini": f"[db]\npassword = {CANARY}i\n[j\n",
    "app.toml": f'[a]\nsecret = "{CANARY}k"\nsecret = "{CANARY}l"\n',
    "app.xml": f"<a><ApiKey>{CANARY}m</ApiKey><b></a>",
    ".htpasswd": f"me:{CANARY}n\n",
    "key.pem": f"-----BEGIN PRIVATE KEY-----\n{CANARY}o\n-----END PRIVATE KEY-----\n",
    "env.yml": f"env:\n  - name: DB_PASSWORD\n    value: {CANARY}p\n",
}
_SETTINGS = """\
ping_url: http://127.0.0.1:1/ping/${PING}
streams:
  one:
    tree: TREE
    replica: REPLICA
    labels: {token: "${LABEL}"}
  two:
    tree: OTHER
    replica: s3://bucket/two
    storage_options: {key: id, secret: "${OPTION}", client_kwargs: {endpoint_url: "http://127.0.0.1:1"}}
"""


@pytest.fixture(autouse=True)
def _planted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Plant a secret in everything that a process is given."""
    for name in [*os.environ]:
        if name.startswith(("AWS_", "CONFSTREAM_")):
            monkeypatch.delenv(name)
    credentials = tmp_path / "credentials"
    credentials.write_text(f"[default]\naws_access_key_id = id\naws_secret_access_key = {CANARY}A\n")
    given = {
        "AWS_SHARED_CREDENTIALS_FILE": str(credentials),
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": f"{CANARY}B",
        "AWS_SESSION_TOKEN": f"{CANARY}C",
        "PING": f"{CANARY}D",
        "LABEL": f"{CANARY}E",
        "OPTION": f"{CANARY}F",
        "https_proxy": f"http://me:{CANARY}G@{_NOBODY}",
        "no_proxy": "127.0.0.1,localhost",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def shell(capfdbinary: pytest.CaptureFixture[bytes]) -> Shell:
    return Shell(capfdbinary)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    made = tmp_path / "tree"
    made.mkdir()
    for name, content in _FILES.items():
        (made / name).write_text(content)
    return made


@pytest.fixture
def replica(tree: Path, tmp_path: Path) -> Path:
    """Return a replica with two revisions, of which the second has other secrets."""
    where = tmp_path / "replica"
    first = run_confstream("replicate", tree, where, "--once", "--no-guards")
    assert first.code == 0, first
    for path in tree.iterdir():
        if path.is_file():
            path.write_text(path.read_text().replace(CANARY, f"new{CANARY}") + "\n")
    second = run_confstream("replicate", tree, where, "--once", "--no-guards", "--debug", "--log-format", "json")
    assert second.code == 0, second
    _search(f"{first}\n{second}", "replicate --once")
    return where


def _search(text: str, what: str) -> None:
    at = text.find(CANARY)
    assert at < 0, f"{what} says {text[max(0, at - 200) : at + 60]!r}"


def _variants(replica: Path, tree: Path) -> Iterator[list[str]]:
    where, root = str(replica), str(tree)
    for command in (
        ["log"], ["log", "--keys"], ["show", "2"], ["show", "1"], ["diff", "1", "2"], ["diff", "1"],
        ["ls", "--recursive"], ["status"], ["status", "--tree", root], ["status", "--max-lag", "1ms"], ["verify"],
        ["tag", "v1", "--revision", "1"], ["compact", "--dry-run"], ["check-backend"], ["cat", "nothing"],
        ["show", "99"], ["log", "--path", "nothing"],
    ):  # fmt: skip
        yield [command[0], where, *command[1:]]
    yield ["restore", where, root, "--dry-run", "--revision", "1", "--force"]
    yield ["restore", where, root]
    yield ["restore", where, root, "--if-missing"]
    yield ["restore", where, root, "--force", "--revision", "1"]
    yield ["doctor", where, root]
    yield ["doctor"]
    yield ["profile", "detect", root]


@pytest.mark.parametrize("more", [(), ("--json",), ("--debug",)], ids=["text", "json", "debug"])
def test_p12_no_command_shows_a_secret_of_a_file_or_of_its_surroundings(
    shell: Shell, replica: Path, tree: Path, more: tuple[str, ...]
) -> None:
    codes = set()
    for arguments in _variants(replica, tree):
        shell(*arguments, *more)
        if "No such option" in shell.err:
            continue
        codes.add(shell.code)
        _search(shell.out + shell.err, " ".join(arguments))

    assert 0 in codes
    assert len(codes) > 2


def test_p12_no_failure_shows_a_secret(shell: Shell, replica: Path, tree: Path) -> None:
    for path in sorted((replica / "log").iterdir()):
        path.write_bytes(path.read_bytes()[:-7])

    for arguments in _variants(replica, tree):
        shell(*arguments, "--debug")
        _search(shell.out + shell.err, " ".join(arguments))


_PLACES = (
    [f"s3://id:{CANARY}@bucket/x"],
    [f"s3://bucket/x?secret={CANARY}"],
    [f"ftp://me:{CANARY}@{_NOBODY}/x"],
    [f"sftp://me:{CANARY}@{_NOBODY}/x"],
    [f"http://me:{CANARY}@{_NOBODY}/x"],
    [f"nosuch://me:{CANARY}@{_NOBODY}/x"],
    ["s3://bucket/x", "--storage-option", f"secret={CANARY}", "--storage-option", f"endpoint_url=http://{_NOBODY}"],
    ["s3://bucket/x", "--storage-option", f"endpoint_url=http://me:{CANARY}@{_NOBODY}"],
    ["s3://bucket/x", "--storage-option", f"nosuchoption_secret={CANARY}"],
    ["s3://bucket/x", "--storage-option", f"secret.x={CANARY}", "--storage-option", f"secret={CANARY}"],
    [f"memory://x?token={CANARY}"],
)


@pytest.mark.parametrize("place", _PLACES, ids=range(len(_PLACES)))
def test_p12_no_secret_of_a_url_or_an_option_is_shown(shell: Shell, tree: Path, place: list[str]) -> None:
    for arguments in (
        ["log", *place], ["status", *place, "--json"], ["restore", place[0], str(tree), *place[1:], "--force"],
        ["check-backend", *place], ["doctor", str(tree), *place], ["doctor", place[0], str(tree), *place[1:]],
            ["replicate", place[0], str(tree), "--once"], ["restore", str(tree), place[0]],
            ["profile", "detect", place[0]], ["status", str(tree), "--tree", place[0]], ["log", str(tree), place[0]],
            ["config", "check", place[0]],
    ):  # fmt: skip
        timeout = ["--timeout", "1s"] if arguments[0] not in {"profile", "config"} else []
        # With --debug everything is said that is said without.
        shell(*arguments, *timeout, "--debug")
        _search(shell.out + shell.err, " ".join(arguments))


def test_p12_no_variable_and_no_setting_is_shown(shell: Shell, tree: Path, tmp_path: Path) -> None:
    file, other = tmp_path / "confstream.yml", tmp_path / "other"
    other.mkdir()
    text = _SETTINGS.replace("TREE", str(tree)).replace("REPLICA", str(tmp_path / "r")).replace("OTHER", str(other))
    file.write_text(text)
    mistakes = [text, text.replace("labels", "label"), text.replace("bucket/two", "${OPTION}/${OPTION}?x")]
    mistakes += [text.replace("tree:", "tree: [${OPTION}", 1), text.replace("ping_url: http", "ping_url: ${PING}")]
    mistakes += [text + f"  three: {{tree: x, replica: y, settle: {CANARY}}}\n", text + f"  {CANARY}three: 5\n"]

    for number, content in enumerate(mistakes):
        file.write_text(content)
        for arguments in (
            ["config", "check", str(file)], ["config", "show", str(file)], ["config", "show", str(file), "--json"],
            ["replicate", "--config", str(file), "--once", "--timeout", "1s", "--fail-after", "1s"],
            ["restore", "--config", str(file), "--if-missing", "--timeout", "1s"], ["doctor", "--config", str(file)],
            ["status", "--config", str(file), "--stream", "two", "--timeout", "1s"],
        ):  # fmt: skip
            if number and arguments[0] != "config":
                continue
            shell(*arguments, "--debug")
            _search(shell.out + shell.err, f"{number}: {' '.join(arguments)}")


@pytest.mark.parametrize("form", ["text", "json"])
def test_p12_a_running_writer_shows_no_secret_anywhere(tree: Path, tmp_path: Path, form: str) -> None:
    port, seen = free_port(), ""
    options = [
        "--listen",
        f"127.0.0.1:{port}",
        "--log-format",
        form,
        "--settle",
        "50ms",
        "--heartbeat",
        "1s",
        "--debug",
    ]
    options += ["--debug", "--ping-url", f"http://{_NOBODY}/ping/{CANARY}", "--no-guards"]
    with started("replicate", tree, tmp_path / "replica", *options) as writer:
        writer.wait_for_line("listening")
        for number in range(3):
            (tree / "config.yml").write_text(f"mqtt:\n  password: {CANARY}{number}\n  host: b{number}\n  bad: [\n")
            writer.wait_until(lambda wanted=number + 1: _head(tmp_path / "replica") >= wanted, "a revision")
        (tree / "config.yml").chmod(0o000)
        for page in ("healthz", "metrics", "livez", "readyz", "nothing"):
            seen += _fetch(f"http://127.0.0.1:{port}/{page}")
        ended = writer.stop()

    _search(seen, "the pages")
    _search(f"{ended}", "the log")
    assert "ping" in ended.stderr


def test_p12_what_is_written_beside_the_tree_is_for_its_owner_only(tree: Path, replica: Path) -> None:
    del replica
    for path in [tree / ".confstream", *(tree / ".confstream").rglob("*")]:
        mode = stat.S_IMODE(path.lstat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), f"{path} has mode {mode:o}"


def test_p12_no_value_shows_its_secret_as_text(tmp_path: Path) -> None:
    found = parse(_SETTINGS, {"PING": CANARY, "LABEL": CANARY, "OPTION": CANARY})
    store = open_store("s3://bucket/x", storage_options={"key": "id", "secret": CANARY})
    shown = [found, *found.streams.values(), store, PingUrl(f"http://h/ping/{CANARY}"), found.only("two")]
    shown += [confstream.History.open("s3://bucket/x", storage_options={"secret": CANARY})]
    (tmp_path / "tree").mkdir()

    for each in shown:
        _search(f"{each!r} {each}", type(each).__name__)
    with confstream.Journal.open(tmp_path / "tree", str(tmp_path / "r"), storage_options=None) as journal:
        journal.write("a.yml", f"password: {CANARY}\n")
        _search(f"{journal!r} {journal.status!r}", "the journal")
    assert environment.OF_RESTORE


def _head(replica: Path) -> int:
    folder = replica / "log"
    return len([*folder.iterdir()]) if folder.exists() else 0


def _fetch(url: str) -> str:
    found: list[str] = []

    def answers() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own, on this machine.
                found.append(f"{answer.headers}{answer.read().decode()}")
        except urllib.error.HTTPError as error:
            found.append(f"{error.headers}{error.read().decode()}")
        except OSError:
            return False
        return True

    wait_until(answers, 20, url)
    return found[0]
