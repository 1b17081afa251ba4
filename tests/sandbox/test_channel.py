"""Messages over a real socket pair."""

import contextlib
import json
import socket
import struct
import threading
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox import Channel, ChannelClosedError, ChannelError
from sandbox.channel import MAX_HEAD_BYTES, MAX_PAYLOAD_BYTES, parse_head


def framed(head: bytes) -> bytes:
    return struct.pack("<II", len(head), 0) + head


@pytest.fixture
def pair() -> Iterator[tuple[Channel, socket.socket]]:
    ours, theirs = socket.socketpair()
    yield Channel(ours), theirs
    ours.close()
    theirs.close()


def test_a_message_comes_through_whole(pair: tuple[Channel, socket.socket]) -> None:
    """Head and payload arrive as they were sent, also one after another."""
    channel, theirs = pair
    peer = Channel(theirs)
    peer.send({"kind": "a", "x": [1.5, None]}, b"\x00payload")
    peer.send({"kind": "b"})
    assert channel.receive(1) == ({"kind": "a", "x": [1.5, None]}, b"\x00payload")
    assert channel.receive(1) == ({"kind": "b"}, b"")


@pytest.mark.parametrize(
    "sent",
    [
        struct.pack("<II", MAX_HEAD_BYTES + 1, 0),
        struct.pack("<II", 2, 2**32 - 1) + b"{}",
        struct.pack("<II", 3, 0) + b"\xff\xfe{",
        struct.pack("<II", 2, 0) + b"[]",
        struct.pack("<II", 200_000, 0) + b"[" * 200_000,
        framed(b'{"x":' + b"9" * 5000 + b"}"),
        framed(b'{"x":%d}' % 2**63),
        framed(b'{"x":-%d}' % 2**70),
        framed(b'{"x":' + b"[" * 32 + b"]" * 32 + b"}"),
        framed(b'{"x":' * 900 + b"1" + b"}" * 900),
        framed(b'{"x":"\\u12"}'),
    ],
)
def test_what_is_no_message_is_an_error(pair: tuple[Channel, socket.socket], sent: bytes) -> None:
    """Too large, not JSON, not an object: named, never believed, no crash of ours."""
    channel, theirs = pair
    theirs.settimeout(1)
    theirs.sendall(sent)
    with pytest.raises(ChannelError):
        channel.receive(1)


def test_a_payload_is_refused_before_it_is_taken_in(
    pair: tuple[Channel, socket.socket],
) -> None:
    """What nobody expects is refused by its announced size: no memory is set aside for it."""
    channel, theirs = pair
    theirs.sendall(struct.pack("<II", 2, 400_000_000) + b"{}")
    with pytest.raises(ChannelError, match="too large"):
        channel.receive(1, max_payload_bytes=1000)


def test_a_peer_that_goes_is_noticed(pair: tuple[Channel, socket.socket]) -> None:
    """Half a message and then nothing is a closed channel, for the receiver and the sender."""
    channel, theirs = pair
    theirs.sendall(struct.pack("<II", 10, 0) + b"{")
    theirs.close()
    assert not channel.was_lost
    with pytest.raises(ChannelClosedError):
        channel.receive(1)
    assert channel.was_lost
    with pytest.raises(ChannelClosedError):
        channel.send({"x": "y" * 1_000_000})


def test_a_peer_that_hears_no_more_is_noticed(pair: tuple[Channel, socket.socket]) -> None:
    """It may close one direction alone, and is still there."""
    channel, theirs = pair
    theirs.shutdown(socket.SHUT_RD)
    assert channel.is_quiet()
    with pytest.raises(ChannelClosedError):
        channel.send({})
    assert channel.was_lost


def test_silence_ends_after_the_timeout(pair: tuple[Channel, socket.socket]) -> None:
    """A peer that trickles does not hold the receiver for ever."""
    channel, theirs = pair
    theirs.sendall(b"\x00")
    with pytest.raises(ChannelError, match="no message in time"):
        channel.receive(0.05)


@pytest.mark.parametrize(
    ("head", "value"),
    [
        (b'{"x":%d}' % (2**63 - 1), 2**63 - 1),
        (b'{"x":-%d}' % 2**63, -(2**63)),
        (b'{"x":' + b"[" * 31 + b"]" * 31 + b"}", None),
        (b'{"x":"[[[[ {{{{ [[[[ {{{{ [[[[ {{{{ [[[[ {{{{"}', None),
        (b'{"x":1e999}', float("inf")),
        (b'{"x":"a\\ud800z"}', "a?z"),
        (b'{"x":["\\ud83d\\ude00"]}', ["\U0001f600"]),
    ],
)
def test_what_is_within_the_bounds_comes_through(
    pair: tuple[Channel, socket.socket], head: bytes, value: object
) -> None:
    """Large, deep and odd, but fit to be handled: half a surrogate pair becomes a question mark."""
    channel, theirs = pair
    theirs.sendall(framed(head))
    found, _ = channel.receive(1)
    assert value is None or found["x"] == value
    json.dumps(found, ensure_ascii=False).encode()


@given(st.binary(max_size=200), st.binary(max_size=20))
def test_no_bytes_end_the_receiver(head: bytes, tail: bytes) -> None:
    """Whatever a worker sends is a message or a `ChannelError`; `TESTS_LONG=1` draws others."""
    for text in (head, b'{"x":' + head + b"}", b'{"' + head + b'":[' + tail + b"]}"):
        with contextlib.suppress(ChannelError):
            json.dumps(parse_head(text), ensure_ascii=False).encode()


@given(
    st.recursive(
        st.none() | st.integers() | st.floats() | st.text(st.characters()),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    )
)
def test_no_value_ends_the_receiver(value: object) -> None:
    """So is any JSON: half surrogate pairs, numbers of any size, anything nested."""
    with contextlib.suppress(ChannelError):
        found = parse_head(json.dumps({"x": value}).encode())
        json.dumps(found, ensure_ascii=False).encode()


def test_news_is_waited_for_and_not_for_ever(pair: tuple[Channel, socket.socket]) -> None:
    """A message, and also the peer's end."""
    channel, theirs = pair
    assert not channel.has_news(0.01)
    theirs.sendall(b"x")
    assert channel.has_news(0.0)
    theirs.close()
    assert channel.has_news(5.0)


def test_an_announced_payload_costs_no_memory(pair: tuple[Channel, socket.socket]) -> None:
    """A peer that claims to send half a gigabyte and goes has cost a few megabytes."""
    channel, peer = pair
    peer.sendall(struct.pack("<II", 2, MAX_PAYLOAD_BYTES) + b"{}" + bytes(1000))
    peer.close()
    tracemalloc.start()
    try:
        with pytest.raises(ChannelClosedError):
            channel.receive(1.0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20e6


def test_a_large_payload_comes_through_whole(pair: tuple[Channel, socket.socket]) -> None:
    """In parts that grow, beyond what is taken at once."""
    channel, peer = pair
    payload = bytes(range(256)) * 50_000  # 12.8 MB
    sender = threading.Thread(target=Channel(peer).send, args=({"n": 1}, payload))
    sender.start()
    head, received = channel.receive(10.0)
    sender.join()
    assert (head, received) == ({"n": 1}, payload)
