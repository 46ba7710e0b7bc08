"""Special tokens that somebody spells out in a conversation: they stay text, for only the chat template may write them.

A message that says `<|im_end|>` would otherwise end itself, and could go on as the system. A conversation that spells
none is encoded whole, as everybody does it. In one that does, stand-ins take the place of each such token's first
character while the template is rendered, so that what is a special token afterwards is the template's own; the text
between these is encoded, stand-ins taken back, by a tokenizer that knows no special tokens.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from tokenizers import AddedToken, Tokenizer

Message = Mapping[str, Any]

_STAND_INS = 0xF0000  # characters that mean nothing to anybody, in a plane of their own


class Spelling:
    """What a tokenizer makes of conversations; it must neither cut nor pad."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        special = {number: token for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
        self._ids = frozenset(special)
        self._normalizer = tokenizer.normalizer if any(token.normalized for token in special.values()) else None
        self._spelled = sorted({form for token in special.values() for form in self._forms(token)})

    def is_in(self, messages: Sequence[Message]) -> bool:
        """Whether a message spells a special token."""
        return any(self._is_spelled(text) for message in messages for text in message.values() if isinstance(text, str))

    def ids(self, messages: Sequence[Message], render: Callable[[Sequence[Message]], str]) -> list[int]:
        """The tokens of a conversation that `render` lays out."""
        if not self.is_in(messages):
            return self._tokenizer.encode(render(messages), add_special_tokens=False).ids
        return self._apart(render([{name: self._hide(value) for name, value in each.items()} for each in messages]))

    def _forms(self, token: AddedToken) -> set[str]:
        return {token.content, self._normalize(token.content)} if token.normalized else {token.content}

    def _normalize(self, text: str) -> str:
        return self._normalizer.normalize_str(text) if self._normalizer else text

    def _is_spelled(self, text: str) -> bool:
        forms = (text, self._normalize(text)) if self._normalizer else (text,)
        return any(token in form for form in forms for token in self._spelled)

    def _hide(self, value: Any) -> Any:
        """A message's text with stand-ins; where normalizing would spell a token, it is normalized already."""
        if not isinstance(value, str):
            return value
        hidden = self._firsts.sub(self._stand_in, value)
        return self._firsts.sub(self._stand_in, self._normalize(hidden)) if self._is_spelled(hidden) else hidden

    def _stand_in(self, found: re.Match[str]) -> str:
        return chr(_STAND_INS + self._alphabet.index(found[0]))

    def _apart(self, text: str) -> list[int]:
        """The tokens of a rendered text: its special ones as they are, what lies between with stand-ins taken back."""
        whole = self._tokenizer.encode(text, add_special_tokens=False)
        back = {_STAND_INS + place: first for place, first in enumerate(self._alphabet)}
        ids, place = list[int](), 0
        for number, (start, end) in zip(whole.ids, whole.offsets, strict=True):
            if number in self._ids and self._is_spelled(text[start:end]):  # and does not stand for what is unknown
                ids += [*self._plain_ids(text[place:start].translate(back)), number]
                place = end
        return ids + self._plain_ids(text[place:].translate(back))

    def _plain_ids(self, text: str) -> list[int]:
        return self._plain.encode(text, add_special_tokens=False).ids

    @cached_property
    def _alphabet(self) -> str:
        return "".join(sorted({token[0] for token in self._spelled}))

    @cached_property
    def _firsts(self) -> re.Pattern[str]:
        """Any character at which a special token begins, also within another one."""
        return re.compile(f"(?=(?:{'|'.join(map(re.escape, self._spelled))})).", re.DOTALL)

    @cached_property
    def _plain(self) -> Tokenizer:
        """A tokenizer of its own, for the switch would change the other one for all its users."""
        plain = Tokenizer.from_str(self._tokenizer.to_str())
        plain.encode_special_tokens = True
        return plain
