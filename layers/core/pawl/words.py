"""Token ids of texts as a BERT tokenizer gives them, in the time of a few dictionary look-ups.

Such a tokenizer cuts a text into words and punctuation before it looks at any of them, so the ids of a word never
depend on its neighbours. In plain ASCII the cut is one regular expression; each word is then looked up, and only a word
not seen before goes through the tokenizer itself. Any other text, or any other tokenizer, takes the whole way.
"""

import re
from itertools import islice
from typing import Any, cast

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

_WORD_LIMIT = 10_000
_WORD_LENGTH = 32
"""So many words of such a length take some 13 MB at the worst; longer ones are not worth remembering."""
_TEXT_LENGTH = 4096
_WORD = re.compile(r"[0-9A-Za-z]+|[!-/:-@\\-`{-~]")


class WordTokenizer:
    """Token ids of texts, special tokens included, cut to the tokenizer's truncation; remembers words."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._known: dict[str, list[int]] = {}
        self._room = 0
        if _cuts_words(tokenizer):
            around: list[int] = tokenizer.encode("").ids
            self._start, self._end = around[:1], around[1:]
            model: Any = tokenizer.model
            self._longest: int = model.max_input_chars_per_word  # a longer word is unknown, whatever it is
            truncation = cast("dict[str, Any] | None", tokenizer.truncation)
            self._room = int(truncation["max_length"]) - 2 if truncation else 1 << 30

    def ids(self, text: str) -> list[int]:
        """The token ids of one text."""
        if self._room < 1 or not text.isascii() or not text.isprintable() or "[" in text:
            return self._encode(text)  # not ASCII, control characters, or maybe a special token
        known, ids = self._known, self._start.copy()
        for word in _WORD.findall(text) if len(text) < _TEXT_LENGTH else self._first_words(text):
            ids += known.get(word) or self._learn(word)
        if len(ids) > self._room + 1:
            del ids[self._room + 1 :]
        return ids + self._end

    def _encode(self, text: str) -> list[int]:
        """By the tokenizer itself; of a long text only the beginning, if a word begins there that has no room."""
        size = _TEXT_LENGTH
        while 0 < self._room < size < len(text):
            encoding: Any = self._tokenizer.encode(text[:size])
            if encoding.overflowing and _last_word(encoding.overflowing[-1]) > _last_word(encoding):
                return encoding.ids
            size *= 4
        return self._tokenizer.encode(text).ids

    def _first_words(self, text: str) -> list[str]:
        """As many words of a long text as there is room for: each gives one id at least."""
        return [match.group() for match in islice(_WORD.finditer(text), self._room)]

    def _learn(self, word: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(word[: self._longest + 1], add_special_tokens=False).ids
        if len(word) <= _WORD_LENGTH:
            if len(self._known) >= _WORD_LIMIT:
                self._known.clear()
            self._known[word] = ids
        return ids


def _cuts_words(tokenizer: Tokenizer) -> bool:
    """Whether this is a lower-casing BERT tokenizer that puts one token before a text and one after it."""
    normalizer: Any = tokenizer.normalizer
    truncation = cast("dict[str, Any] | None", tokenizer.truncation)
    return (
        isinstance(normalizer, normalizers.BertNormalizer)
        and bool(normalizer.lowercase and normalizer.clean_text)
        and isinstance(tokenizer.pre_tokenizer, pre_tokenizers.BertPreTokenizer)
        and isinstance(tokenizer.model, models.WordPiece)
        and isinstance(tokenizer.post_processor, processors.TemplateProcessing)
        and tokenizer.padding is None
        and (truncation is None or truncation["direction"].lower() == "right")
        and all("[" in token.content for token in tokenizer.get_added_tokens_decoder().values())
        and _is_between(tokenizer.encode("").ids, tokenizer.encode("a").ids)
    )


def _last_word(encoding: Any) -> int:
    return max((word for word in encoding.word_ids if word is not None), default=-1)


def _is_between(around: list[int], whole: list[int]) -> bool:
    return len(around) == 2 and len(whole) > 2 and around == [whole[0], whole[-1]]
