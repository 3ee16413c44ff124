"""What changed, in words that a person reads in a log line: ``cameras.door.detect.fps 5 → 10``, secrets masked (P12).

Pure, bounded and in linear time whatever the contents are; nothing here raises for one.
"""

from confstream.words.file import file_words
from confstream.words.revision import revision_words

__all__ = ["file_words", "revision_words"]
