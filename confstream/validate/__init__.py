"""Verdicts on contents: what is wrong with a file, found without ever standing in its way (P6).

Validators are values that judge one content; ``Validators`` says which judges
which path, and trusts none that has not proven itself. Nothing here imports a
parser before a file needs it.
"""

from confstream.validate.command import CommandValidator
from confstream.validate.finding import Finding, NotCheckedError, Samples, Validator, findings_to_reasons
from confstream.validate.rules import NONE, SIZE_BYTES_MAX, Outcome, Rule, SelfTest, Validators, prove
from confstream.validate.schema import SchemaValidator
from confstream.validate.syntax import IniSyntax, JsonLinesSyntax, JsonSyntax, TomlSyntax, XmlSyntax
from confstream.validate.verdict import Judgement, combined, judge
from confstream.validate.yaml import RequiredKeys, YamlSyntax

__all__ = [
    "NONE",
    "SIZE_BYTES_MAX",
    "CommandValidator",
    "Finding",
    "IniSyntax",
    "JsonLinesSyntax",
    "JsonSyntax",
    "Judgement",
    "NotCheckedError",
    "Outcome",
    "RequiredKeys",
    "Rule",
    "Samples",
    "SchemaValidator",
    "SelfTest",
    "TomlSyntax",
    "Validator",
    "Validators",
    "XmlSyntax",
    "YamlSyntax",
    "combined",
    "findings_to_reasons",
    "judge",
    "prove",
]
