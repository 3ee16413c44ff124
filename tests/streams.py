"""Settings for tests: a file with every key, one with a single stream, and a secret that nothing may show."""

from confstream.settings import parse
from confstream.stream import Stream

CANARY = "cAnArY0815"

FULL = """\
streams:
  frigate:
    tree: /config
    replica: s3://bucket/frigate
    profile: frigate
    include: ["*.yml"]
    exclude: ["*.bak", "!keep.bak"]
    guard: config.yml
    validators:
      json: "*.conf"
      checker:
        command: [check, "{file}"]
        patterns: config.yml
        good: "a: 1"
        bad: "a: x"
        sample: config.yml
        timeout: 5s
        accepts: [0, 3]
        environment: {LANG: C}
        shows_output: true
    required: {config.yml: [cameras, mqtt.host]}
    labels: {site: home}
    settle: 2s
    heartbeat: 5m
    fail_after: 1h
    spool_max: 64MiB
    scan_interval: 90s
    shutdown_timeout: 20s
    timeout: 500ms
    state_dir: /state
    unsafe_single_writer: true
    s3_client: lean
    storage_options: {client_kwargs: {region_name: eu-1}, use_ssl: false, key: "007", retries: 3}
  traefik:
    tree: /traefik
    replica: /backups/traefik
"""


def one(lines: str, **environ: str) -> Stream:
    """Parse a file with one stream that has *lines* besides its tree and replica."""
    indented = "".join(f"    {line}\n" for line in lines.splitlines())
    given_keys = {line.partition(":")[0] for line in lines.splitlines()}
    rest = "".join(f"    {key}: /x/{key}\n" for key in ("tree", "replica") if key not in given_keys)
    return parse(f"streams:\n  a:\n{rest}{indented}", environ).stream()
