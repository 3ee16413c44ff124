"""Validators out of settings. One that cannot be made is one that is broken: said, and never in the way (P6)."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from confstream.errors import UsageError
from confstream.settings_checks import Check
from confstream.validate.command import CommandValidator
from confstream.validate.finding import Finding, NotCheckedError, Samples, Validator
from confstream.validate.rules import Rule
from confstream.validate.schema import SchemaValidator

_SCHEMA_SIZE_MAX = 1 << 24


def configured(checks: Iterable[Check]) -> tuple[list[Validator], list[Rule]]:
    """Return the validators that *checks* describe, and the rules for what they, and the built-in ones, judge."""
    validators: list[Validator] = []
    rules = []
    for check in checks:
        if check.command:
            validators.append(_command(check))
        elif check.schema:
            validators.append(_schema(check))
        rules.append(Rule(check.patterns, check.name))
    return validators, rules


def _samples(check: Check) -> Samples:
    return Samples(check.sample_path, check.good.encode(), check.bad.encode())


def _command(check: Check) -> Validator:
    try:
        return CommandValidator(
            check.name,
            check.command,
            _samples(check),
            timeout_seconds=check.timeout_seconds,
            accepts=check.accepts,
            environment=check.environment,
            shows_output=check.shows_output,
        )
    except ValueError as error:
        raise UsageError(str(error)) from error


def _schema(check: Check) -> Validator:
    try:
        with Path(check.schema).open("rb") as file:
            content = file.read(_SCHEMA_SIZE_MAX + 1)
        found = json.loads(content)
    except OSError as error:
        return _Broken(check.name, _samples(check), f"the schema {check.schema} cannot be read: {error.strerror}")
    except (ValueError, RecursionError):
        return _Broken(check.name, _samples(check), f"the schema {check.schema} is not JSON that can be read")
    if not isinstance(found, dict) or len(content) > _SCHEMA_SIZE_MAX:
        return _Broken(check.name, _samples(check), f"the schema {check.schema} is no JSON object of bearable size")
    return SchemaValidator(check.name, found, _samples(check))


@dataclass(frozen=True)
class _Broken:
    """A validator that could not be made, and says *why*."""

    name: str
    samples: Samples
    why: str

    def check(self, path: bytes, content: bytes) -> list[Finding]:
        """Raise ``NotCheckedError``."""
        del path, content
        raise NotCheckedError(self.why)
