"""Secrets out of text that is shown: values under secret-looking keys, URLs, keys in PEM (P12).

Pure; never raises, takes linear time, keeps the number of lines. When in doubt
more is masked than needed: ``--show-secrets`` shows the rest. Nothing of a
secret is left, not its length and not a hash, which a short one would not survive.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from itertools import accumulate

from confstream.secrecy import CAMEL, KEY_LENGTH_MAX, MASK, PARTS, WORDS, is_secret_key, is_secret_path

# These name secrets and harmless things alike: the look of the value decides.
_WEAK_WORDS = frozenset(["key", "salt", "seed", "hash", "signature", "session", "sid"])
_WEAK_VALUE = re.compile(r"[\"']?[A-Za-z0-9+/=_.$-]{16,}[\"']?,?\s*$")
# References to a secret, and values that can be none, tell the reader something and give nothing away.
_HARMLESS = re.compile(
    r"\s*(?:[\"']?(?:!(?:secret|env_var|include)\s[\w./ -]{1,100}|!secret\.yaml \w{1,100}|\$?\{[A-Za-z_][\w.]{0,100}\}"
    r"|true|false|yes|no|on|off|null|none|~|\[\]|\{\}|)[\"']?)[,;]?\s*$",
    re.IGNORECASE,
)
_FILE_NAME = re.compile(r"\.(?:ya?ml|jsonl?|toml|xml|ini)$", re.IGNORECASE)
_PLACE = re.compile(r"[0-9]{1,9}(?::[0-9]{1,9})?: [a-z]")
_JSON_CONSTANT = re.compile(r"(?:true|false|null)(?=\s*[,}\]])")

_URL_TOKEN = re.compile(r"[^\s\"'<>`]+")
# Of a URL that was taken for a path, one slash is left.
_USER_INFO = re.compile(
    r"(?<![A-Za-z0-9+.-])([A-Za-z][A-Za-z0-9+.-]*+:/{1,2})(?:[^\s/?#@:]*+:(?![0-9]++(?:[/?#]|$)).*|[^\s/?#]*)@"
)
_QUERY = re.compile(r"([?&]([A-Za-z0-9_.%-]++)=)[^&#\s\"'<>]++")
_QUERY_NAME = re.compile(r"[?&]([A-Za-z0-9_.%-]++)=")
_KNOWN_URLS = re.compile(
    r"(hooks\.slack\.com/services/|discord(?:app)?\.com/api/webhooks/|api\.telegram\.org/bot|hc-ping\.com/|plus://)"
    r"[^\s\"'<>?#]++"
)
_PEM_BEGIN, _PEM_END = "-----BEGIN ", "-----END "
_PEM_INLINE = re.compile(r"(-----BEGIN [A-Z0-9 ]{1,60}-----)(?:(?!-----END ).)++")
_BEARER = re.compile(r"\b(Bearer|Basic) +[A-Za-z0-9+/=_.~-]{8,}", re.IGNORECASE)

_TAG = re.compile(r"<([A-Za-z_][\w:.-]*+)(?:\s[^<>]*+)?>([^<]++)")
_TAG_NAME = re.compile(r"<([A-Za-z_][\w:.-]*+)")
_TAG_OPEN = re.compile(r"<([A-Za-z_][\w:.-]*+)(?:\s[^<>]*+)?>\s*$")
# Begins with what few letters are, which makes a long line a quick one.
_NAMED = re.compile(
    r"[nNkKiI\u0130\u0131\u212a](?<=\b.)(?i:(?<=n)ame|(?<=k)ey|(?<=i)d)[\"']?\s*[:=]\s*[\"']?([\w.-]++)[\"']?\s*"
)
_NAMED_VALUE = re.compile(r"([\"']?\bvalue[\"']?\s*[:=]\s*)\S.*$", re.IGNORECASE)
_OPTION = re.compile(r"(--(?<!\S--)([A-Za-z][A-Za-z0-9-]*+)\s+)(\"[^\"]*+\"?|'[^']*+'?|\S++)")
_LINE_KEY = re.compile(
    r"([\s\ufeff]*+(?:- +|export +|[;#]+ *)*+)([^\s:=\"'{\[<][^:={\[<\"']{0,199}?)\s*+([:=])(?=[\s\S])"
)
_KEY = re.compile(r"(?<![\w.?&-])(?:\"([^\"\\]{1,128})\"|'([^'\\]{1,128})'|([\w.$-]++))\s*+([:=])\s*+")
_VALUE = re.compile(r"\"(?:[^\"\\]++|\\.)*+\"|'(?:[^'\\]++|\\.)*+'|\[[^\[\]{}]*+\]")
_BLOCK_KEY = re.compile(r"(\s*+(?:- +)*+[\w.\"'$-]++\s*+[:=]\s)\s*\S")
_OPENERS, _CLOSERS = "[{", "]}"

# Without one of these there is nothing in a line to be masked: a token, and letters that a pattern takes for another
# one where case does not count.
_SIGNS = (_PEM_BEGIN, "hooks.slack.com/services/", "api.telegram.org/bot", "hc-ping.com/", "plus://")
_ODD_LETTERS = ("\u0130", "\u0131", "\u017f", "\u212a")
# Nor without a word, whole or not, or what is told without regard to anything but letters and digits.
_LOOSE_WORDS = ("auth", "otp")
_WHOLE_WORDS = tuple(
    sorted({*WORDS, *_WEAK_WORDS, "basic"} - {w for w in WORDS if "auth" in w or w in {"otp", "totp"}})
)
_SQUEEZED_PARTS = ("pass", *(part for part in PARTS if not part.startswith("pass") and not part.endswith("key")))
_SQUEEZED_KEYS = tuple(part for part in PARTS if part.endswith("key"))
_UNSQUEEZED = bytes(sorted({*range(256)} - {*b"abcdefghijklmnopqrstuvwxyz0123456789\n"}))


def mask_line(line: str) -> str:
    """Return *line* with ``***`` for every secret in it that can be told from the line alone."""
    return _masked_line(line)[0]


def mask_text(text: str, path: bytes | str = b"") -> str:
    """Return *text*, the content of *path*, with ``***`` for its secrets, line for line.

    Unlike ``mask_line`` it sees what a secret key began on an earlier line:
    block scalars, lists, PEM, elements of XML. Of a file that is secret as a whole only the
    keys of ``key: value`` lines in ``secrets.yaml`` are left.
    """
    if is_secret_path(path):
        name = path.decode("utf-8", "replace") if isinstance(path, bytes) else path
        keyed = name.lower().endswith((".yaml", ".yml"))
        return "".join(_mask_all(line, keyed) for line in _lines(text))
    state, pieces, done = _State(), [], 0
    for start in sorted(_suspects(text)):
        if start < done:
            continue
        pieces.append(text[done:start])
        done = start
        while True:
            end = text.find("\n", done) + 1 or len(text)
            pieces.append(state.mask(text[done:end]))
            done = end
            if state.is_idle or done == len(text):
                break
    return f"{''.join(pieces)}{text[done:]}" if done else text


class _State:
    """What an earlier line began and a later one goes on with."""

    def __init__(self) -> None:
        self._until = ""
        self._indent: int | None = None
        self._list_at_indent = False
        self._depth = 0
        self._named = False

    @property
    def is_idle(self) -> bool:
        """Return whether nothing that began above goes on."""
        return self._indent is None and not self._until and self._depth <= 0 and not self._named

    def mask(self, line: str) -> str:
        body = line.rstrip("\r\n")
        end = line[len(body) :]
        return self._mask(body) + end

    def _mask(self, body: str) -> str:
        if self._until:
            return self._mask_until(body)
        if not body.strip():
            return body
        if self._depth > 0:
            self._depth = max(0, self._depth + _depth(body))
            return _mask_nested(body)
        if self._indent is not None:
            indent = _indent(body)
            if indent > self._indent or (indent == self._indent and self._list_at_indent and body.lstrip()[:1] == "-"):
                self._begin_pem(body)
                return _mask_nested(body)
            self._indent = None
        named, self._named = self._named, False
        if named and (value := _NAMED_VALUE.search(body)):
            self._follow(body, body[value.end(1) :], value.start())
            return body[: value.start()] + value[1] + MASK
        if (name := _NAMED.search(body)) and is_secret_key(name[1]):
            self._named = True
        masked, opened = _masked_line(body)
        if opened is not None:
            self._follow(body, body[opened[1] :], opened[0])
        elif body.rstrip()[-1:] == ">" and (tag := _TAG_OPEN.search(body)) and is_secret_key(tag[1]):
            self._until = f"</{tag[1]}"
        self._begin_pem(body)
        return masked

    def _follow(self, body: str, value: str, column: int) -> None:
        """Remember that the lines below *column*, or up to a bracket, belong to a secret."""
        if (depth := _depth(value)) > 0 and value.lstrip()[:1] in _OPENERS:
            self._depth = depth
        self._indent = column
        self._list_at_indent = not value.strip() and body.lstrip()[:1] != "-"

    def _begin_pem(self, body: str) -> None:
        if body.rfind(_PEM_BEGIN) > body.rfind(_PEM_END):
            self._until = _PEM_END

    def _mask_until(self, body: str) -> str:
        at = body.find(self._until)
        if at < 0:
            return _blanked(body)
        self._until = ""
        return (_blanked(body[:at]) if body[:at].strip() else body[:at]) + _masked_line(body[at:])[0]


def _masked_line(line: str) -> tuple[str, tuple[int, int] | None]:
    """Return *line* masked, and where a secret key that may go on below stands and its value begins."""
    # Each step is taken only where there is something for it: a script may be one line of 100,000 letters.
    masked = _PEM_INLINE.sub(rf"\1{MASK}", line) if _PEM_BEGIN in line else line
    if ":/" in masked or "?" in masked or ".com/" in masked or ".org/" in masked:
        masked = _mask_urls(masked)
    lowered = masked.lower()
    if "earer" in lowered or "asic" in lowered or not lowered.isascii():
        masked = _BEARER.sub(rf"\1 {MASK}", masked)
    if "<" in masked and any(map(is_secret_key, _TAG_NAME.findall(masked))):
        masked = _TAG.sub(_mask_tag, masked)
    if "--" in masked:
        masked = _OPTION.sub(lambda m: m[1] + MASK if is_secret_key(m[2]) else m[0], masked)
    masked = _mask_named(masked)
    key = _LINE_KEY.match(masked)
    if key is not None and _is_secret(key[2], masked[key.end() :]):
        original = _LINE_KEY.match(line)
        opened = (key.start(2), original.end() if original else key.end())
        value = masked[key.end() :]
        if _HARMLESS.match(value) or not value.strip():
            return masked, opened
        return masked[: key.end()] + value[: len(value) - len(value.lstrip())] + MASK, opened
    return _mask_pairs(masked)


def _suspects(text: str) -> set[int]:
    """Return where the lines of *text* begin that may hold a secret, or begin one: few of any configuration do.

    No line is left out of which ``_State`` would mask anything if it had seen nothing before.
    """
    is_ascii = text.isascii()
    # Each letter stays where it is: this is the only one of which two would be made.
    lowered = text.lower() if is_ascii else text.replace("\u0130", "i").lower()
    found: set[int] = set()
    for needle in _SIGNS if is_ascii else (*_SIGNS, *_ODD_LETTERS):
        found.update(_lines_with(needle, text))
    ends = ((start, text.find("\n", start) + 1 or len(text)) for start in _lines_with("@", text))
    found.update(start for start, end in ends if text.find(":/", start, end) >= 0)
    for needle in _LOOSE_WORDS:
        found.update(_lines_with(needle, lowered))
    for needle in _WHOLE_WORDS:
        found.update(_lines_with(needle, lowered, partial(_is_whole, text, len(needle))))
    squeezed = lowered.encode("utf-8", "surrogatepass").translate(None, _UNSQUEEZED).decode("ascii")
    told: set[int] = set()
    for needle in _SQUEEZED_PARTS:
        told.update(_lines_with(needle, squeezed))
    told.update(_lines_with("key", squeezed, lambda at: squeezed.endswith(_SQUEEZED_KEYS, 0, at + 3)))
    return found | _same_lines(told, squeezed, text) if told else found


def _lines_with(needle: str, text: str, accepts: Callable[[int], bool] = lambda _at: True) -> Iterator[int]:
    """Yield where the lines of *text* begin that have *needle* somewhere that *accepts* takes."""
    at = text.find(needle)
    while at >= 0:
        if accepts(at):
            yield text.rfind("\n", 0, at) + 1
            at = text.find("\n", at)
            if at < 0:
                return
        at = text.find(needle, at + 1)


def _is_whole(text: str, size: int, at: int) -> bool:
    """Return whether what is *size* letters long *at* there in *text* may be a word of a key."""
    first, last = text[at], text[at + size - 1]
    before, after = text[at - 1 : at], text[at + size : at + size + 1]
    if before.isascii() and before.isalnum() and (before.isupper() or not first.isupper()):
        return False
    return not (after.isascii() and after.isalnum() and (last.isupper() or not after.isupper()))


def _same_lines(starts: Iterable[int], squeezed: str, text: str) -> set[int]:
    """Return where the lines of *text* begin that begin at *starts* in *squeezed*, which has as many lines."""
    ends = list(accumulate(map(len, text.split("\n"))))
    found, number, done = set(), 0, 0
    for start in sorted(starts):
        number += squeezed.count("\n", done, start)
        done = start
        found.add(ends[number - 1] + number if number else 0)
    return found


def _mask_pairs(line: str) -> tuple[str, tuple[int, int] | None]:
    """Mask the values of secret keys anywhere in *line*."""
    pieces, done, opened = [], 0, None
    position = 0
    while match := _next_pair(line, position):
        position = match.end()
        key = match[1] or match[2] or match[3]
        if not _is_secret(key, line[position : position + 300].partition(",")[0]):
            continue
        value = _VALUE.match(line, position)
        if _JSON_CONSTANT.match(line, position):
            continue
        rest = line[position : position + 256]
        if not rest.strip(" ,"):
            # The value is on the lines below.
            opened = (_indent(line), position)
            break
        if len(rest) < 256 and _HARMLESS.match(rest):  # noqa: PLR2004 - a bound, for time
            break
        pieces.append(line[done:position])
        if value is None:
            pieces.append(MASK)
            opened = (_indent(line), position) if line[position : position + 1] in {"[", "{"} else None
            done = len(line)
            break
        quote = value[0][0]
        pieces.append(f"[{MASK}]" if quote == "[" else f"{quote}{MASK}{quote}")
        done = position = value.end()
    return "".join(pieces) + line[done:], opened


def _next_pair(line: str, position: int) -> re.Match[str] | None:
    """Return the next key in *line* from *position* on that may be a secret's."""
    return next(
        (match for match in _KEY.finditer(line, position) if _may_be_secret(match[1] or match[2] or match[3])), None
    )


@lru_cache(maxsize=4096)
def _may_be_secret(key: str) -> bool:
    return is_secret_key(key.strip()) or _is_weak(key)


def _is_secret(key: str, value: str) -> bool:
    if "." in key and _FILE_NAME.search(key) and _PLACE.match(value):
        # ``secrets.yaml:12:3: could not find expected ':'`` says where, not what.
        return False
    if is_secret_key(key.strip()):
        return True
    return _is_weak(key) and _WEAK_VALUE.match(value.strip()[:300]) is not None


@lru_cache(maxsize=4096)
def _is_weak(key: str) -> bool:
    return len(key) <= KEY_LENGTH_MAX and not _WEAK_WORDS.isdisjoint(word.lower() for word in CAMEL.split(key))


def _mask_named(line: str) -> str:
    """Mask the value of ``name: API_KEY, value: …`` on one line, as environments and .NET settings write it."""
    name = _NAMED.search(line)
    if name is None or not is_secret_key(name[1]):
        return line
    value = _NAMED_VALUE.search(line, name.end())
    return line if value is None else line[: value.end(1)] + MASK


def _mask_tag(match: re.Match[str]) -> str:
    if not is_secret_key(match[1]) or not match[2].strip():
        return match[0]
    return match[0][: match.start(2) - match.start()] + MASK


def _mask_urls(line: str) -> str:
    if "@" in line and ":/" in line:
        line = _mask_user_infos(line)
    if _KNOWN_URLS.search(line):
        line = _URL_TOKEN.sub(lambda m: _KNOWN_URLS.sub(rf"\1{MASK}", m[0]), line)
    if any(map(is_secret_key, _QUERY_NAME.findall(line))):
        line = _URL_TOKEN.sub(_mask_query, line)
    return line


def _mask_user_infos(line: str) -> str:
    pieces, done = [], 0
    at = line.find(":/")
    while at >= 0:
        token = _URL_TOKEN.match(line, at)
        end = token.end() if token else at + 2
        # Only up to the last "@" is there user info to look for, so no search runs to the end in vain.
        last = line.rfind("@", at, end) + 1
        if last:
            start = at
            while start > done and not line[start - 1].isspace() and line[start - 1] not in "\"'<>`":
                start -= 1
            pieces += [line[done:start], _USER_INFO.sub(rf"\1{MASK}@", line[start:last])]
            done = last
        at = line.find(":/", end)
    return "".join(pieces) + line[done:]


def _mask_query(match: re.Match[str]) -> str:
    return _QUERY.sub(lambda m: m[1] + MASK if is_secret_key(m[2]) else m[0], match[0])


def _mask_nested(body: str) -> str:
    """Mask a line that belongs to the value of a secret key; a key of its own is kept."""
    stripped = body.strip()
    if stripped in {"]", "}", "],", "},", "[", "{"} or not stripped:
        return body
    key = _BLOCK_KEY.match(body)
    if key is not None:
        value = body[key.end(1) :]
        return body if _HARMLESS.match(value) else key[1] + MASK
    return _blanked(body)


def _mask_all(line: str, keyed: bool) -> str:
    body = line.rstrip("\r\n")
    key = re.match(r"[\w.-]{1,100}:(?=\s|$)", body) if keyed else None
    kept = key[0] if key else ""
    rest = body[len(kept) :]
    return kept + (f"{' ' if kept else ''}{MASK}" if rest.strip() else rest) + line[len(body) :]


def _blanked(body: str) -> str:
    return body[: len(body) - len(body.lstrip())] + MASK if body.strip() else body


def _indent(body: str) -> int:
    return len(body) - len(body.lstrip(" \t"))


def _depth(text: str) -> int:
    return sum(map(text.count, _OPENERS)) - sum(map(text.count, _CLOSERS))


def _lines(text: str) -> Iterator[str]:
    """Yield the lines with their ends; only a newline ends one."""
    start = 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        yield text[start:end]
        start = end
