"""Upstreams that are wrong, frame by frame, with clients before the gateway: `hostile_upstreams.py NAME`."""

import re
import struct
import sys
import threading

import hyperframe.frame as frames
from world import code, head, main, until


def hostile_acts():
    def head_of(*fields, end=True):
        return lambda request: request.connection.headers(request.stream, list(fields), end)

    def raw(*out):
        return lambda request: request.connection.send(*[one(request) for one in out])

    def then(*acts):
        return lambda request: [act(request) for act in acts]

    def flood(frame, count):
        def act(request):
            data = frame.serialize() * 500
            for _ in range(count // 500):
                request.connection.send_bytes(data)

        return act

    def continuations(request):
        first = frames.HeadersFrame(request.stream, data=request.connection.encoder.encode([(":status", "200")]))
        request.connection.send(first)
        for number in range(20_000):
            if request.connection.closed:
                return
            block = request.connection.encoder.encode([(f"x-{number}", "y" * 1000)])
            request.connection.send(frames.ContinuationFrame(request.stream, data=block))

    def interims(request):
        for _ in range(1000):
            request.head(103, ("link", "</a>"))

    ok = (":status", "200")
    return {
        # Never answered with 200: nothing of it reached the client before it was seen to be wrong.
        "refused": {
            "no status": head_of(("server", "x")),
            "two statuses": head_of(ok, (":status", "500")),
            "a status that is no number": head_of((":status", "abc")),
            "a switch of protocols": lambda request: request.head(101),
            "an upper-case name": head_of(ok, ("Server", "x")),
            "a field of the connection": head_of(ok, ("connection", "close")),
            "a transfer coding": head_of(ok, ("transfer-encoding", "chunked")),
            "an upgrade": head_of(ok, ("upgrade", "h2c")),
            "two lengths": head_of(ok, ("content-length", "5"), ("content-length", "6"), end=False),
            "a length that is none": head_of(ok, ("content-length", "+5"), end=False),
            "a length of nothing": head_of(ok, ("content-length", "5")),
            "a line feed in a value": head_of(ok, ("a", "b\r\nc: d")),
            "too many fields": head_of(ok, *[(f"x-{number}", "y") for number in range(300)]),
            "a head too large": head_of(ok, *[(f"x-{number}", "y" * 8000) for number in range(20)]),
            "data before the head": lambda request: request.send(b"data"),
            "data on a stream that nobody opened": raw(lambda one: frames.DataFrame(one.stream + 100, data=b"x")),
            "a head on a stream that nobody opened": lambda one: one.connection.headers(one.stream + 100, [ok], True),
            "a promise": raw(
                lambda one: frames.PushPromiseFrame(
                    one.stream, promised_stream_id=2, data=b"", flags=["END_HEADERS"]
                )
            ),
            "a window that opens by nothing": lambda one: one.connection.send_bytes(
                b"\0\0\4\x08\0" + struct.pack(">LL", 0, 0)
            ),
            "a frame that is too large": lambda one: one.connection.send_bytes(
                b"\xff\xff\xff\0\0" + struct.pack(">L", one.stream)
            ),
            "a continuation of nothing": raw(lambda one: frames.ContinuationFrame(one.stream, data=b"x")),
            "continuations without end": continuations,
            "interim answers without end": interims,
            "settings without end": flood(frames.SettingsFrame(0), 100_000),
            "questions without end": flood(frames.PingFrame(0, opaque_data=b"12345678"), 100_000),
            "unknown frames without end": lambda one: [
                one.connection.send_bytes(b"\0\0\0\x63\0\0\0\0\0" * 500) for _ in range(200)
            ],
            "bytes that are no frames": lambda one: one.connection.send_bytes(b"HTTP/1.1 200 OK\r\n\r\n" * 10),
            "a settings frame that is wrong": lambda one: one.connection.send_bytes(
                b"\0\0\5\4\0" + struct.pack(">L", 0) + b"abcde"
            ),
        },
        # The head reached the client, and then it went wrong: what came never looks whole.
        "cut off": {
            "more than announced": then(
                lambda one: one.head(200, ("content-length", "3")), lambda one: one.send(b"too much", end=True)
            ),
            "less than announced": then(
                lambda one: one.head(200, ("content-length", "300")), lambda one: one.send(b"too little", end=True)
            ),
            "trailers too large": then(
                lambda one: one.head(200),
                lambda one: one.send(b"x"),
                lambda one: one.trail(*[(f"x-{number}", "y" * 1000) for number in range(30)]),
            ),
            "trailers that do not end the stream": then(
                lambda one: one.head(200),
                lambda one: one.send(b"x"),
                lambda one: one.connection.headers(one.stream, [("a", "b")], False),
            ),
            "a window that is overrun": then(
                lambda one: one.head(200), lambda one: [one.send(b"x" * 16384) for _ in range(2000)]
            ),
            "empty data without end": then(
                lambda one: one.head(200),
                lambda one: flood(frames.DataFrame(one.stream, data=b""), 100_000)(one),
            ),
        },
    }


def hostile(world):
    """Each is wrong for clients of both kinds; nothing hangs, and everything else goes on."""
    acts = world.origin.acts
    # What the transport ignores goes no further.
    acts["/any/ignored"] = lambda one: (
        one.connection.headers(one.stream, [(":status", "200"), (":path", "/x"), ("server", "x")], False),
        one.send(b"x"),
        one.trail((":status", "500"), ("checksum", "7")),
    )
    answer = world.get("/any/ignored")
    assert (answer.status, answer.body, answer.trailers) == (200, b"x", [("checksum", "7")]), answer
    assert not [name for name, _ in answer.fields if name.startswith(":")]
    text = world.http1_answer("/any/ignored")
    assert text.endswith(b"0\r\nchecksum: 7\r\n\r\n") and b"\r\n:" not in text, text
    for kind, wrongs in [("refused", acts["refused"]), ("cut off", acts["cut off"])]:
        for number, (name, act) in enumerate(wrongs.items()):
            for client in ("http2", "http1"):
                path = f"/any/{kind.replace(' ', '-')}-{number}-{client}"
                acts[path] = act
                if client == "http2":
                    answer = world.get(path)
                    status, whole = answer.status, answer.ended
                else:
                    text = world.http1_answer(path)
                    while text.startswith(b"HTTP/1.1 1"):
                        text = text.split(b"\r\n\r\n", 1)[1]
                    status = int(text[9:12])
                    payload = text.split(b"\r\n\r\n", 1)[1]
                    announced = re.search(rb"\r\ncontent-length: (\d+)\r\n", text.lower())
                    whole = len(payload) == int(announced[1]) if announced else payload.endswith(b"0\r\n\r\n")
                if kind == "refused":
                    assert status == 502, (name, client, status)
                else:
                    assert not whole or status == 502, (name, client, status, whole)
                world.serves()


def shut(world):
    """`max_connections` is 20, and holds: an upstream that takes no more requests, by whatever it says, keeps no connection."""
    say_no = {
        "settings": lambda one: one.connection.send(frames.SettingsFrame(0, settings={3: 0})),
        "goaway": lambda one: one.connection.goaway(one.stream),
        "goaway-in-time": lambda one: one.connection.goaway(0x7FFFFFFF),
    }
    for how, say in say_no.items():
        world.origin.acts[f"/any/{how}"] = lambda one, say=say: (say(one), one.answer())
    for how in say_no:
        for _ in range(60):
            assert world.get(f"/any/{how}").status == 200, how
            assert open_connections(world) <= 20, how
        world.serves()
        until(lambda: open_connections(world) <= 4, how)
    for state, most in [("idle", 2), ("in_use", 0)]:
        name = f'keygate_upstream_connections{{upstream="api",state="{state}"}}'
        until(lambda: world.metric(name) <= most, name)


def narrow(world):
    """`max_connections` is 20 for all workers together, where each request needs a connection of its own and they idle."""
    world.origin.settings = {3: 1}
    for number in range(8):
        path, release = f"/any/hold-{number}", threading.Event()
        world.origin.acts[path] = lambda request, release=release: (release.wait(30), request.answer())
        peer = world.peer()
        streams = [peer.headers(head(path)) for _ in range(20)]
        world.origin.until(lambda: len(world.origin.seen(path)) == 20)
        until(lambda: open_connections(world) <= 20, "no more than 20")
        release.set()
        assert [peer.answer(stream).status for stream in streams] == [200] * 20


def open_connections(world):
    return sum(not connection.closed for connection in world.origin.connections)


def no_http2(world):
    """Something else answers at the port."""
    for says in (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", b"", b"\x15\x03\x01\0\2\2\x46", b"\0" * 100):
        world.origin.says = says
        answer = world.get("/any/x")
        assert answer.status == 502 and code(answer) == "upstream_unreachable", (says, answer)
    world.origin.says = None
    world.serves()


if __name__ == "__main__":
    name = sys.argv[1]
    main(globals()[name], hostile_acts() if name == "hostile" else {})
