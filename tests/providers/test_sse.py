"""Server-sent events: the same payloads however the bytes arrive."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.sse import BrokenStream, EventDecoder

_line = st.text(
    st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1, max_size=20
).map(str.strip).filter(bool)  # fmt: skip


def _decode(data: bytes, cuts: list[int]) -> tuple[list[bytes], bytes]:
    decoder, out, at = EventDecoder(1 << 20), [], 0
    for cut in [*sorted(cuts), len(data)]:
        out += decoder.feed(data[at:cut])
        at = max(at, cut)
    return out, decoder.rest


@given(
    st.lists(_line, max_size=5),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.lists(st.integers(0, 200), max_size=8),
    st.booleans(),
)
def test_any_split_and_any_line_ending_give_the_same_payloads(
    texts: list[str], newline: str, cuts: list[int], has_comments: bool
) -> None:
    comment = f": alive{newline}{newline}" if has_comments else ""
    stream = "".join(f"{comment}event: x{newline}data: {t}{newline}{newline}" for t in texts)
    data = stream.encode()
    payloads, rest = _decode(data, [min(cut, len(data)) for cut in cuts])
    assert payloads == [text.encode() for text in texts]
    assert rest == b""


def test_comments_blank_lines_and_other_fields_are_passed_over() -> None:
    data = b"\n\n\n: keep-alive\n\nid: 7\nretry: 5\n\n\ndata:1\n\n:\n\ndata: 2\nid: 3\n\n"
    assert _decode(data, [])[0] == [b"1", b"2"]


def test_data_lines_of_one_event_are_joined() -> None:
    assert _decode(b'data: {"a":\ndata: 1}\n\n', [])[0] == [b'{"a":\n1}']


def test_an_event_is_told_at_its_last_byte_also_with_a_lone_cr() -> None:
    decoder = EventDecoder(100)
    assert decoder.feed(b"data: [DONE]\r\r") == [b"[DONE]"]
    assert decoder.rest == b""


def test_half_an_event_is_a_rest() -> None:
    assert _decode(b"data: 1\n\ndata: {", []) == ([b"1"], b"data: {")


def test_an_event_above_the_bound_breaks_the_stream() -> None:
    decoder = EventDecoder(100)
    with pytest.raises(BrokenStream):
        for _ in range(20):
            decoder.feed(b"data: 0123456789")
