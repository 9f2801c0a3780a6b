"""What clients of HTTP/2 do, right and wrong: `scenarios.py NAME ADDRESS` runs one against a gateway."""

import select
import sys
import time

import hyperframe.frame as frames
from peer import Peer

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 2, 3
REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 7, 8, 11
KEY = "a-key-for-the-tests-of-http2-0123456789"
HOST = "api.example"


def head(*more, method="GET", path="/api/x", scheme="http", authority=HOST, key=KEY):
    """The fields of a request; what is None is left out."""
    pseudo = [(":method", method), (":scheme", scheme), (":authority", authority), (":path", path)]
    credential = [("authorization", f"Bearer {key}")] if key else []
    return [(name, value) for name, value in pseudo if value is not None] + credential + list(more)


def serves(peer):
    """Whether the connection still serves a request that is right."""
    return peer.answer(peer.headers(head())).status == 200


# Each: what is sent, and the status it is answered with, or "reset" (of its stream), or "goaway" (of the connection).
MALFORMED = {
    # RFC 9113 §8.3.1
    "no method": (head(method=None), "reset"),
    "no scheme": (head(scheme=None), "reset"),
    "no path": (head(path=None), "reset"),
    "no path and no authority": (head(("host", HOST), path=None, authority=None), 400),
    "no authority and no host": (head(authority=None), 400),
    "two methods": ([(":method", "POST")] + head(), "reset"),
    "two paths": ([(":path", "/api/y")] + head(), "reset"),
    "two authorities": ([(":authority", HOST)] + head(), "reset"),
    "two schemes": ([(":scheme", "http")] + head(), "reset"),
    "a pseudo-header behind a field": (head()[:3] + [("accept", "*/*"), (":path", "/api/x")], "reset"),
    "a status": ([(":status", "200")] + head(), "reset"),
    "an unknown pseudo-header": ([(":colour", "red")] + head(), "goaway"),
    "a protocol": ([(":protocol", "websocket")] + head(), "reset"),
    "a method that is no token": (head(method="G T"), "goaway"),
    "a long method": (head(method="A" * 33), 400),
    "an empty path": (head(path=""), "reset"),
    "a path without slash": (head(path="api/x"), "reset"),
    "a query without path": (head(path="?x"), 400),
    # It is cut off before anyone of us sees it; what is left is judged, and forwarded.
    "a fragment": (head(path="/api/x#/../y"), 200),
    "a backslash in the path": (head(path="/api/\\x"), 400),
    "no ASCII in the path": (head(path="/api/\u00e9"), 400),
    "a broken escape in the path": (head(path="/api/%x"), 400),
    "an absolute path": (head(path="http://api.example/api/x"), "reset"),
    "an asterisk": (head(path="*"), 400),
    "an asterisk with OPTIONS": (head(path="*", method="OPTIONS"), 204),
    "a space in the path": (head(path="/api/ x"), "reset"),
    "a control byte in the path": (head(path="/api/\x01"), "reset"),
    "dots in the path": (head(path="/api/../x"), 400),
    "a long path": (head(path="/api/" + "x" * 8192), 414),
    "another scheme": (head(scheme="ftp"), 400),
    # Nothing depends on the scheme, and without an authority it is not handed to us.
    "another scheme, and no authority": (head(("host", HOST), scheme="ftp", authority=None), 200),
    "a scheme that is none": (head(scheme="ht tp"), "reset"),
    "the scheme of TLS on cleartext": (head(scheme="https"), 200),
    "a host that is the authority": (head(("host", HOST)), 200),
    "a host and no authority": (head(("host", HOST), authority=None), 200),
    "a host that is not the authority": (head(("host", "other.example")), 400),
    "two hosts": (head(("host", HOST), ("host", HOST)), 400),
    "an empty authority": (head(authority=""), "reset"),
    "user information in the authority": (head(authority="user@api.example"), 400),
    "CONNECT": ([(":method", "CONNECT"), (":authority", "api.example:443")], 405),
    "CONNECT with a path": (head(method="CONNECT"), "reset"),
    "extended CONNECT": ([(":protocol", "websocket")] + head(method="CONNECT"), "reset"),
    "TRACE": (head(method="TRACE"), 405),
    # RFC 9113 §8.2
    "an upper-case name": (head(("Accept", "*/*")), "goaway"),
    "a name with a space": (head(("a b", "c")), "goaway"),
    "an empty name": (head(("", "c")), "goaway"),
    "a line feed in a value": (head(("a", "b\nc: d")), "goaway"),
    "a carriage return in a value": (head(("a", "b\rc")), "goaway"),
    "a zero in a value": (head(("a", "b\0c")), "goaway"),
    "white space before a value": (head(("a", " b")), 400),
    "white space behind a value": (head(("a", "b\t")), 400),
    "connection": (head(("connection", "close")), "reset"),
    "keep-alive": (head(("keep-alive", "timeout=5")), "reset"),
    "proxy-connection": (head(("proxy-connection", "keep-alive")), "reset"),
    "transfer-encoding": (head(("transfer-encoding", "chunked"), method="POST"), "reset"),
    "upgrade": (head(("upgrade", "websocket")), "reset"),
    "te: gzip": (head(("te", "gzip")), "reset"),
    "te: trailers": (head(("te", "trailers")), 200),
    # RFC 9113 §8.1.1
    "two lengths that are equal": (head(("content-length", "0"), ("content-length", "0"), method="POST"), 400),
    "two lengths that differ": (head(("content-length", "0"), ("content-length", "1"), method="POST"), "reset"),
    "two lengths in one": (head(("content-length", "0, 0"), method="POST"), "reset"),
    "a length that is no number": (head(("content-length", "+0"), method="POST"), "reset"),
    "an empty length": (head(("content-length", ""), method="POST"), 400),
    "a length without body": (head(("content-length", "5"), method="POST"), "reset"),
    # Limits
    "many fields": (head(*[(f"a-{number}", "b") for number in range(101)]), 431),
    "a large field": (head(("a", "b" * 33000)), 431),
    "larger than any field": (head(("a", "b" * 60000)), 431),
    "far larger than any field": (head(("a", "b" * 300000)), "goaway"),
    # Nothing that is for HTTP/1 alone
    "two credentials": (head(("authorization", f"Bearer {KEY}")), 400),
    "no credential": (head(key=None), 401),
    "an expectation nobody knows": (head(("expect", "more")), 417),
}


def malformed(address):
    wrong = []
    for name, (fields, expected) in MALFORMED.items():
        peer = Peer(address)
        answer = peer.answer(peer.headers(fields))
        if peer.closed or peer.goaways:
            got = "goaway"
        elif answer.status:
            got = answer.status
        else:
            got = "reset" if answer.reset == PROTOCOL_ERROR else f"reset {answer.reset}"
        if got != expected:
            wrong.append(f"{name}: {got}, not {expected}")
        elif got != "goaway" and not serves(peer):
            wrong.append(f"{name}: the connection does not serve any more")
    assert not wrong, "\n".join(wrong)


def lengths(address):
    """DATA that is longer or shorter than `content-length` says is an error of its stream alone."""
    for sent, ends in ((b"123456", False), (b"123456", True), (b"1234", True)):
        peer = Peer(address)
        stream = peer.headers(head(("content-length", "5"), method="POST"), end=False)
        peer.data(stream, sent, end=ends)
        answer = peer.answer(stream)
        assert answer.reset == PROTOCOL_ERROR, (sent, ends, answer)
        assert serves(peer)
    # Trailers end a body as DATA does.
    peer = Peer(address)
    stream = peer.headers(head(("content-length", "5"), method="POST"), end=False)
    peer.data(stream, b"1234")
    peer.headers([("a", "b")], stream=stream)
    assert peer.answer(stream).reset == PROTOCOL_ERROR
    assert serves(peer)


def forwarded(address):
    peer = Peer(address)
    fields = [("b", "2"), ("cookie", "a=1"), ("a", "1"), ("cookie", "b=2"), ("b", "3"), ("te", "trailers")]
    fields.append(("http2-settings", "AAMAAABkAAQCAAAAAAIAAAAA"))
    answer = peer.answer(peer.headers(head(*fields, path="/api/x?y=%7E")))
    assert answer.status == 200, answer
    stream = peer.headers(head(method="PUT"), end=False)
    peer.data(stream, b"unknown ")
    peer.data(stream, b"")
    peer.data(stream, b"length", end=True)
    assert peer.answer(stream).status == 200
    stream = peer.headers(head(("content-length", "5"), method="PUT"), end=False)
    peer.data(stream, b"known", end=True)
    assert peer.answer(stream).status == 200


def many(address):
    """Ten thousand streams on one connection, as many at once as there may be."""
    peer = Peer(address)
    peer.round_trip()
    at_once = peer.settings[3]
    assert at_once == 100, peer.settings
    open_streams = []
    for _ in range(10_000):
        if len(open_streams) == at_once:
            stream = open_streams.pop(0)
            assert peer.answer(stream).status == 200, (stream, peer.answers[stream], peer.goaways)
            del peer.answers[stream], peer.windows[stream]
        open_streams.append(peer.headers(head()))
    assert all(peer.answer(stream).status == 200 for stream in open_streams)


def too_many(address):
    """One stream more than there may be is refused, and only that one (RFC 9113 §5.1.2)."""
    peer = Peer(address)
    peer.round_trip()
    streams = [peer.headers(head(method="POST"), end=False) for _ in range(101)]
    assert peer.answer(streams[-1]).reset == REFUSED_STREAM, peer.answers[streams[-1]]
    for stream in streams[:-1]:
        peer.data(stream, b"", end=True)
    assert all(peer.answer(stream).status == 200 for stream in streams[:-1])


def rapid_reset(address):
    """CVE-2023-44487, all at once."""
    peer = Peer(address)
    for _ in range(10_000):
        stream = peer.headers(head())
        peer.send(frames.RstStreamFrame(stream, error_code=CANCEL))
    assert peer.until_closed() == ENHANCE_YOUR_CALM, peer.goaways
    assert serves(Peer(address))


def slow_reset(address):
    """CVE-2023-44487, with every request begun before it is reset."""
    peer = Peer(address)
    for number in range(10_000):
        stream = peer.headers(head(path="/api/hold"))
        if not peer.round_trip():
            break
        peer.send(frames.RstStreamFrame(stream, error_code=CANCEL))
    assert number < 1000 and peer.goaways[-1][0] == ENHANCE_YOUR_CALM, (number, peer.goaways)
    assert serves(Peer(address))


def cancelled(address):
    """Who cancels now and then is served on."""
    peer = Peer(address)
    for _ in range(400):
        stream = peer.headers(head(path="/api/hold"))
        peer.round_trip()
        peer.send(frames.RstStreamFrame(stream, error_code=CANCEL))
        assert serves(peer), peer.goaways


def continuation_flood(address):
    peer = Peer(address)
    peer.answers[1] = None
    block = peer.encoder.encode(head())
    peer.send(frames.HeadersFrame(1, data=block, flags=["END_STREAM"]))
    for _ in range(10_000):
        peer.send(frames.ContinuationFrame(1, data=b"\x00\x01a\x7f\x81\x07" + b"b" * 264))
    peer.until_closed()
    assert peer.closed
    assert serves(Peer(address))
    # Frames without a byte never reach a limit of bytes.
    peer = Peer(address)
    peer.send(frames.HeadersFrame(1, data=block, flags=["END_STREAM"]))
    for _ in range(10_000):
        peer.send(frames.ContinuationFrame(1, data=b""))
    peer.until_closed()
    assert serves(Peer(address))


def header_bomb(address):
    """A large field that is named again and again by one byte each (RFC 7541 §2.3.2)."""
    peer = Peer(address)
    peer.headers(head(*[("a", "b" * 3900)] * 10_000))
    assert peer.until_closed() == ENHANCE_YOUR_CALM, peer.goaways
    assert serves(Peer(address))


def frame_floods(address):
    """Frames that cost the sender nothing and ask for nothing (RFC 9113 §10.5): answered, or the end of the
    connection, and in neither case of another one."""
    for flood in (
        frames.SettingsFrame(0, settings={4: 65535}),
        frames.PingFrame(0, opaque_data=b"anybody?"),
        frames.PriorityFrame(1, depends_on=3, stream_weight=1),
        frames.DataFrame(1, data=b""),
        frames.WindowUpdateFrame(1, window_increment=1),
        frames.RstStreamFrame(1, error_code=CANCEL),
    ):
        peer = Peer(address)
        peer.headers(head(method="POST", path="/api/x"), end=False)
        for _ in range(100):
            peer.send(*[flood] * 100)
            while select.select([peer.socket], [], [], 0)[0] and peer.step():
                pass
        assert serves(Peer(address)), flood


def endless_frames(address):
    """Frames that ask for nothing and never end: the connection is closed, and no other one."""
    for flood in (
        frames.PingFrame(0, opaque_data=b"anybody?"),
        frames.PingFrame(0, opaque_data=b"anybody?", flags=["ACK"]),
        frames.SettingsFrame(0),
        frames.PriorityFrame(1, depends_on=3, stream_weight=1),
        frames.WindowUpdateFrame(0, window_increment=1),
        frames.ExtensionFrame(99, 0, body=b""),
    ):
        peer = Peer(address)
        assert serves(peer)
        for _ in range(1000):
            peer.send(*[flood] * 1000)
            while not peer.closed and select.select([peer.socket], [], [], 0)[0]:
                peer.step()
            if peer.closed:
                break
        assert peer.closed, flood
        assert {code for code, _ in peer.goaways} <= {ENHANCE_YOUR_CALM}, (flood, peer.goaways)
        assert serves(Peer(address)), flood


def window_overrun(address):
    """Who sends more than the window of a stream allows is stopped."""
    peer = Peer(address)
    peer.round_trip()
    stream = peer.headers(head(method="POST", path="/api/unread"), end=False)
    for _ in range(2000):
        peer.data(stream, b"x" * 16384)
    while not peer.closed and peer.answers[stream].reset is None:
        peer.step()
    codes = [code for code, _ in peer.goaways] + [peer.answers[stream].reset]
    assert FLOW_CONTROL_ERROR in codes, codes
    assert serves(Peer(address))


def large(address):
    """Bodies far larger than every window, both ways."""
    for window in (100, 65535, 1_000_000):
        peer = Peer(address, window=window)
        length = 20_000 if window == 100 else 5_000_000
        answer = peer.answer(peer.headers(head(path=f"/api/body?{length}")))
        assert (answer.status, len(answer.body), answer.ended) == (200, length, True), (window, len(answer.body))
    for declared in ([], [("content-length", "5000000")]):
        peer = Peer(address)
        peer.round_trip()
        stream = peer.headers(head(*declared, method="POST"), end=False)
        peer.upload(stream, b"x" * 5_000_000)
        assert peer.answer(stream).status == 200


def fair(address):
    """A stream that is not read holds up no other."""
    peer = Peer(address, reads=False)
    peer.send(frames.WindowUpdateFrame(0, window_increment=100_000_000))
    held = [peer.headers(head(path="/api/body?5000000")) for _ in range(20)]
    for _ in range(20):
        assert serves(peer)
    assert all(len(peer.answers[stream].body) <= 65535 for stream in held)


def unread(address):
    """An answer to which the client opens no window ends after `timeouts.idle`, and only that."""
    peer = Peer(address, window=1000, reads=False)
    answer = peer.answer(peer.headers(head(path="/api/body?100000")))
    assert answer.reset is not None and len(answer.body) == 1000, answer.reset
    assert serves(peer)


def stalled(address):
    """A client that does not read from its socket at all is let go after `timeouts.idle`."""
    peer = Peer(address, window=2**31 - 1)
    peer.send(frames.WindowUpdateFrame(0, window_increment=2**31 - 1 - 65535))
    for _ in range(50):
        peer.headers(head(path="/api/body?5000000"))
    ping = frames.PingFrame(0, opaque_data=b"anybody?").serialize()
    try:
        while True:
            peer.socket.sendall(ping)
            time.sleep(0.05)
    except (BrokenPipeError, ConnectionResetError):
        pass


def early_answer(address):
    """An answer that does not wait for the body: it comes whole, then the rest of the request is refused without
    error (RFC 9113 §8.1)."""
    for fields, status in ((head(key=None, method="POST"), 401), (head(method="POST", path="/api/early"), 200)):
        peer = Peer(address)
        stream = peer.headers(fields, end=False)
        answer = peer.answers[stream]
        while answer.reset is None and peer.step():
            pass
        assert (answer.status, answer.ended, answer.reset) == (status, True, NO_ERROR), answer
        assert len(answer.body) > 0
        assert serves(peer)


def trailers(address):
    peer = Peer(address)
    fields = [("content-type", "application/grpc"), ("te", "trailers")]
    stream = peer.headers(head(*fields, method="POST", path="/api/trailers"), end=False)
    peer.data(stream, b"message")
    peer.headers([("grpc-checksum", "7"), ("content-length", "9")], stream=stream)
    answer = peer.answer(stream)
    assert (answer.status, bytes(answer.body)) == (200, b"reply"), answer
    assert answer.trailers == [("grpc-status", "0"), ("grpc-message", "fine")], answer.trailers
    # Clients keep their trailers to themselves, whatever they say of them, unless the route lets them go on.
    for path, more in [("/api/trailers", []), ("/api/open-trailers", []), ("/api/open-trailers", fields)]:
        stream = peer.headers(head(*more, method="POST", path=path), end=False)
        peer.data(stream, b"message")
        peer.headers([("checksum", "7"), ("cookie", "a=1")], stream=stream)
        assert peer.answer(stream).status == 200


def interim(address):
    peer = Peer(address)
    answer = peer.answer(peer.headers(head(path="/api/hints")))
    assert (answer.status, [status for status, _ in answer.interims]) == (200, [103]), answer
    assert ("link", "</a.css>; rel=preload") in answer.interims[0][1], answer.interims
    stream = peer.headers(head(("expect", "100-continue"), ("content-length", "4"), method="POST"), end=False)
    while not peer.answers[stream].interims and peer.step():
        pass
    assert peer.answers[stream].interims[0][0] == 100
    peer.data(stream, b"body", end=True)
    assert peer.answer(stream).status == 200


def fields_of_answers(address):
    peer = Peer(address)
    answer = peer.answer(peer.headers(head(path="/api/fields")))
    names = [name for name, _ in answer.fields]
    assert answer.status == 200 and not {"connection", "keep-alive", "transfer-encoding"} & set(names), names
    assert all(name == name.lower() for name in names), names
    assert [value for name, value in answer.fields if name == "set-cookie"] == ["a=1", "b=2"], answer.fields
    # What belongs to one answer pushes nothing out of the tables.
    assert peer.never_indexed == {"x-request-id"}, peer.never_indexed
    answer = peer.answer(peer.headers(head(path="/api/fields", method="HEAD")))
    assert answer.ended and not answer.body, answer
    answer = peer.answer(peer.headers(head(path="/api/body?5")))
    assert (bytes(answer.body), answer.pieces) == (b"xxxxx", 1), "the end came by itself"


def broken(address):
    """An upstream that breaks off in the middle of its answer: the client must see that it is cut short. What was not
    sent of it by then is not sent any more, be it the head."""
    peer = Peer(address)
    answer = peer.answer(peer.headers(head(path="/api/broken")))
    assert (answer.ended, answer.reset) == (False, INTERNAL_ERROR), answer
    assert serves(peer)


def websocket(address):
    """RFC 8441 is not offered."""
    peer = Peer(address)
    peer.round_trip()
    assert peer.settings.get(8, 0) == 0, peer.settings


def idle(address):
    """A connection without requests is closed after `timeouts.keep_alive`, in order; pings do not keep it open."""
    peer = Peer(address)
    assert serves(peer)
    while peer.round_trip():
        time.sleep(0.05)  # faster, it would be a flood
    assert [code for code, _ in peer.goaways] == [NO_ERROR, NO_ERROR], peer.goaways
    peer = Peer(address)
    assert serves(peer)
    assert peer.until_closed() == NO_ERROR


def silent(address):
    """A connection that never says a word is closed too."""
    peer = Peer(address)
    assert peer.until_closed() == NO_ERROR


def cut(address, lost, kept):
    """Of two keys on one connection one is revoked: its stream is reset, an unanswered one is refused, others go on."""
    peer = Peer(address)
    gone = peer.headers(head(path="/any/endless", key=lost))
    silent = peer.headers(head(path="/any/mute", key=lost))
    stays = peer.headers(head(path="/any/until-released", key=kept))
    while not (peer.answers[gone].body and peer.answers[stays].body):
        assert peer.step()
    assert peer.answer(peer.headers(head(path="/any/ready", key=kept))).status == 200
    assert peer.answer(gone).reset == CANCEL, peer.answers[gone]
    assert peer.answer(silent).status == 401, peer.answers[silent]
    assert not peer.answers[stays].ended and peer.answers[stays].reset is None
    assert peer.answer(peer.headers(head(path="/any/now", key=lost))).status == 401
    assert peer.answer(peer.headers(head(path="/any/release", key=kept))).status == 200
    assert peer.answer(stays).body == b"firstlast", peer.answers[stays]


def drain(address):
    """On shutdown: GOAWAY; what was sent before the client knew is still served; then the connection closes."""
    peer = Peer(address, acknowledges=False)
    first = peer.headers(head(path="/api/until-released"))
    while not peer.goaways:
        assert peer.step()
    assert peer.goaways[0][0] == NO_ERROR
    second = peer.headers(head(path="/api/release"))
    assert peer.answer(second).status == 200, peer.answers[second]
    peer.send(*peer.unanswered_pings)
    assert peer.answer(first).status == 200, peer.answers[first]
    assert peer.until_closed() == NO_ERROR


def encrypted(address):
    peer = Peer(address, tls=True)
    answer = peer.answer(peer.headers(head(scheme="https")))
    assert answer.status == 200, answer


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
