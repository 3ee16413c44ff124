"""Which keys and paths are those of secrets (P12). Pure, and quick to import: masking itself is another matter."""

import re
from functools import lru_cache

MASK = "***"

KEY_LENGTH_MAX = 256
"""What is longer is no key: a bound, for time."""

PARTS = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "secret",
    "token",
    "apikey",
    "privatekey",
    "networkkey",
    "credential",
    "accesskey",
    "encryptionkey",
    "authkey",
    "sharedkey",
    "masterkey",
    "signingkey",
    "presharedkey",
    "jwtkey",
    "tlskey",
    "sslkey",
    "webhook",
    "connectionstring",
]
WORDS = frozenset(
    [
        "pass",
        "pw",
        "pwd",
        "psk",
        "pin",
        "pat",
        "jwt",
        "otp",
        "totp",
        "auth",
        "oauth",
        "oauth2",
        "bearer",
        "authorization",
        "cookie",
        "dsn",
    ]
)
_SECRET_FILES = frozenset(
    [
        "acme.json",
        "passwd",
        "htpasswd",
        ".htpasswd",
        ".netrc",
        ".pgpass",
        ".jwt_secret",
        "id_rsa",
        "id_dsa",
        "id_ecdsa",
        "id_ed25519",
        "credentials",
        "coordinator_backup.json",
        "go2rtc_homekit.yml",
        ".config.runtime.json",
        "core.config_entries",
        "http.auth",
        "cloud",
    ]
)
_SECRET_ENDINGS = (".pem", ".key", ".p12", ".pfx", ".jks", ".keystore", ".kdbx", ".ppk")

CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")
"""Where the words of a key part."""


@lru_cache(maxsize=4096)
def is_secret_key(key: str) -> bool:
    """Return whether a value under *key* is likely a secret."""
    if len(key) > KEY_LENGTH_MAX:
        return False
    squeezed = re.sub(r"[^a-z0-9]", "", key.lower())
    if any(part in squeezed for part in PARTS):
        return True
    words = {word.lower() for word in CAMEL.split(key)}
    return bool(words & WORDS) or any(word.startswith("auth") and not word.startswith("author") for word in words)


def is_secret_path(path: bytes | str) -> bool:
    """Return whether the whole content of the file at *path* is secret."""
    text = path.decode("utf-8", "replace") if isinstance(path, bytes) else path
    folder, _, name = text.lower().rpartition("/")
    if name in _SECRET_FILES or name.endswith(_SECRET_ENDINGS) or "secret" in name:
        return True
    if "_cred" in name and name.endswith(".json"):
        return True
    return name.startswith("auth") and folder.rpartition("/")[2] == ".storage"
