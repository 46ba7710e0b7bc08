"""Text from tokens: whole characters, no stop strings, and the tokenizer's own decoder as the yardstick."""

import random

import pytest
from tests.functional.generators import SAID, make_tokenizer
from tokenizers import Tokenizer, decoders, models

from pawl.detokenizer import TextStream, TokenBytes
from pawl.errors import InvalidBundle


def feed_all(stream: TextStream, *parts: bytes) -> list[str]:
    return [stream.feed(part) for part in parts]


def test_a_character_comes_out_with_its_last_byte() -> None:
    parrot = "🦜".encode()
    assert feed_all(TextStream(), parrot[:1], parrot[1:3], parrot[3:] + b"!") == ["", "", "🦜!"]


def test_half_a_character_at_the_end_is_dropped() -> None:
    stream = TextStream()
    assert stream.feed(b"caf\xc3") + stream.end() == "caf"


def test_bytes_that_begin_no_character_are_replaced() -> None:
    assert feed_all(TextStream(), b"a\xff", b"\xc3b") == ["a\N{REPLACEMENT CHARACTER}", "\N{REPLACEMENT CHARACTER}b"]


@pytest.mark.parametrize(
    ("parts", "began"),
    [
        ([b"caf", b"\xc3", b"\xa9!", b"a"], [0, 3, 3, 5]),
        ([b"\xf0", b"\x9f", b"\xa6", b"\x9c", b"b"], [0, 0, 0, 0, 1]),
        ([b"\xa9", b"\xa9a", b"b"], [0, 1, 3]),
        ([b"\xf0\x9f", b"a", b"b"], [0, 1, 2]),
        ([b"\xf0", b"\x80", b"b"], [0, 1, 2]),
        ([b"\xc3", b"\xc3", b"\xa9b", b"c"], [0, 1, 1, 3]),
        ([b"a", b"", b"\xc3", b"", b"\xa9"], [0, 1, 1, 1, 1]),
    ],
)
def test_bytes_begin_at_the_character_in_which_their_first_is(parts: list[bytes], began: list[int]) -> None:
    stream, found, text = TextStream(), list[int](), ""
    for part in parts:
        text += stream.feed(part)
        found.append(stream.began)

    assert found == began
    assert text == b"".join(parts).decode(errors="replace")


def test_a_stop_string_ends_the_text_before_it() -> None:
    stream = TextStream(["END"])
    assert feed_all(stream, b"the END of it") == ["the "]
    assert stream.is_stopped
    assert stream.end() == ""


def test_a_stop_string_split_over_three_tokens_is_never_given_out() -> None:
    stream = TextStream(["END"])
    assert feed_all(stream, b"the E", b"N", b"D") == ["the ", "", ""]
    assert stream.is_stopped


def test_what_only_began_like_a_stop_string_is_given_out_once_it_cannot_be_one() -> None:
    stream = TextStream(["END"])
    assert feed_all(stream, b"the E", b"N", b"T!") == ["the ", "", "ENT!"]
    assert not stream.is_stopped


def test_what_began_like_a_stop_string_is_given_out_at_the_end() -> None:
    stream = TextStream(["END"])
    assert feed_all(stream, b"the EN") == ["the "]
    assert stream.end() == "EN"


def test_a_stop_string_may_begin_within_a_failed_one() -> None:
    stream = TextStream(["aab"])
    assert "".join(feed_all(stream, b"a", b"a", b"a", b"b")) == "a"
    assert stream.is_stopped


def test_the_earliest_of_several_stop_strings_ends_the_text() -> None:
    stream = TextStream(["longer stop", "stop"])
    assert feed_all(stream, b"a longer stop") == ["a "]


def test_a_stop_string_of_split_characters_is_found() -> None:
    parrot = "🦜".encode()
    stream = TextStream(["🦜"])
    assert feed_all(stream, b"a" + parrot[:2], parrot[2:]) == ["a", ""]
    assert stream.is_stopped


def test_what_has_come_and_gone_is_counted_in_characters() -> None:
    stream = TextStream(["END"])
    stream.feed("né E".encode())
    assert (stream.seen, stream.settled) == (4, 3)


@pytest.mark.parametrize("text", SAID)
def test_text_comes_back_from_its_tokens(text: str) -> None:
    tokenizer = make_tokenizer()
    bytes_of, stream = TokenBytes(tokenizer), TextStream()
    pieces = [stream.feed(bytes_of[token]) for token in tokenizer.encode(text).ids]
    assert "".join(pieces) == text
    assert all("\N{REPLACEMENT CHARACTER}" not in piece for piece in pieces)


def test_random_tokens_become_the_text_that_the_tokenizers_own_decoder_gives() -> None:
    tokenizer = make_tokenizer()
    bytes_of, chance = TokenBytes(tokenizer), random.Random(0)
    for _ in range(200):
        tokens = [chance.randrange(tokenizer.get_vocab_size()) for _ in range(20)] + tokenizer.encode("a").ids
        stream = TextStream()
        assert "".join(stream.feed(bytes_of[token]) for token in tokens) == tokenizer.decode(tokens)


def test_special_tokens_say_nothing_and_other_added_ones_their_text() -> None:
    tokenizer = make_tokenizer()
    tokenizer.add_tokens(["<tool>é"])
    bytes_of = TokenBytes(tokenizer)
    end, tool = tokenizer.token_to_id("<|im_end|>"), tokenizer.token_to_id("<tool>é")
    assert (end, tool) == (2, 423)
    assert bytes_of[end] == b""
    assert bytes_of[tool] == "<tool>é".encode()


def test_a_number_without_a_token_says_nothing() -> None:
    assert TokenBytes(make_tokenizer())[9999] == b""


def test_tokens_of_the_sentencepiece_kind_are_understood() -> None:
    tokenizer = Tokenizer(models.BPE({"▁the": 0, "<0xC3>": 1, "<0xA9>": 2, "x▁y": 3}, []))
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence(parts)
    bytes_of = TokenBytes(tokenizer)
    assert b"".join(bytes_of[token] for token in range(4)).decode() == " theéx y"


@pytest.mark.parametrize("decoder", [None, decoders.WordPiece()])
def test_a_tokenizer_of_another_kind_is_refused(decoder: decoders.Decoder | None) -> None:
    tokenizer = Tokenizer(models.BPE())
    if decoder:
        tokenizer.decoder = decoder
    with pytest.raises(InvalidBundle, match="ByteLevel"):
        TokenBytes(tokenizer)
