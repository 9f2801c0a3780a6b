"""Upstreams that speak HTTP/2 as they should, with clients before the gateway: `upstreams.py NAME [CERTIFICATE KEY]`.

It prints the port of its upstream, reads a line of JSON that tells where the gateway is, and runs the scenario NAME.
"""

import subprocess
import sys
import threading
import time

import hyperframe.frame as frames
from world import KEY, code, head, main, read_all

NO_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CANCEL = 0, 2, 7, 8
OTHER_KEY = "another-key-for-the-tests-of-http2-0123456789"
HOST = "api.example"
STREAM_WINDOW = 256 * 1024
# More pieces of ten bytes than fit into the windows and buffers of a client that does not read.
TICKS = 60_000


# What is forwarded, and what comes back.


def requests(world):
    peer = world.peer()
    fields = [("b", "2"), ("cookie", "a=1"), ("b", "3"), ("cookie", "b=2"), ("te", "trailers"), ("x-auth-user", "me")]
    assert world.get("/any/get?y=%7E", *fields, peer=peer).status == 200
    get = world.origin.request("/any/get")
    assert get.fields[:4] == [
        (":method", "GET"), (":scheme", "http"), (":authority", HOST), (":path", "/any/get?y=%7E")
    ], get.fields
    plain = [one for one in get.fields[4:] if one[0] in ("b", "cookie", "te", "authorization")]
    assert plain == [("b", "2"), ("b", "3"), ("cookie", "a=1; b=2"), ("te", "trailers")], plain
    assert ("x-auth-user", "me") not in get.fields and get.field("x-auth-key-id") == "one", get.fields
    assert get.field("via").startswith("2.0 ") and get.ended and get.field("content-length") is None
    assert get.connection.never_indexed == {"cookie", "x-request-id", "traceparent"}, get.connection.never_indexed

    # The same from a client of HTTP/1.1, whose framing and connection end here.
    answer = world.http1_answer(
        "/any/chunks", "Connection: X-Hop, TE", "X-Hop: 1", "TE: trailers", "Transfer-Encoding: chunked",
        "Trailer: x", method="POST", body=b"5\r\nhello\r\n0\r\nx: y\r\n\r\n",
    )
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n") and answer.endswith(b"\r\n\r\nok"), answer
    chunks = world.origin.request("/any/chunks")
    names = {name for name, _ in chunks.fields}
    assert not names & {"connection", "x-hop", "transfer-encoding", "trailer", "content-length", "host"}, names
    assert (bytes(chunks.body), chunks.trailers, chunks.field("te")) == (b"hello", [], "trailers")
    assert chunks.field("via").startswith("1.1 ")
    world.http1_answer("/any/known", "Content-Length: 5", method="POST", body=b"known")
    known = world.origin.request("/any/known")
    assert (bytes(known.body), known.field("content-length")) == (b"known", "5")
    world.http1_answer("/any/none", "Content-Length: 0", method="POST")
    assert world.origin.request("/any/none").field("content-length") == "0"

    # Trailers go where the route, or gRPC, says so; never what would be dropped from a head.
    for path, fields, expected in [
        ("/any/x", [], []),
        ("/open/x", [], [("checksum", "7")]),
        ("/any/g", [("content-type", "application/grpc")], [("checksum", "7")]),
        ("/any/p", [("content-type", "Application/gRPC+proto; a=b")], [("checksum", "7")]),
        ("/any/f", [("content-type", "application/grpcfoo")], []),
    ]:
        stream = peer.headers(head(path, *fields, method="POST"), end=False)
        peer.data(stream, b"body")
        trailers = [("checksum", "7"), ("x-auth-user", "me"), ("content-length", "9"), ("authorization", "Bearer x")]
        never = "cookie set-cookie content-type content-encoding range if-match cache-control via x-forwarded-for"
        never += " x-http-method-override x-http-method x-method-override x_method_override"
        trailers += [(name, "x") for name in never.split()]
        peer.headers(trailers, stream=stream)
        assert peer.answer(stream).status == 200
        assert world.origin.request(path).trailers == expected, world.origin.request(path).trailers
    assert len(world.origin.connections) <= 2, "each worker has one connection"

    refused = world.http1_answer("/any/a<b")
    assert refused.startswith(b"HTTP/1.1 400 "), refused


def host(world):
    """Which authority the upstream sees is the operator's to say."""
    world.serves()
    seen = world.origin.request("/any/fine")
    assert seen.field(":authority") == f"127.0.0.1:{world.origin.port}", seen.fields
    assert seen.field("x-forwarded-host") == HOST and seen.field("host") is None, seen.fields


def answer_acts():
    def fields(request):
        more = [("set-cookie", "a=1"), ("x-auth-user", "root"), ("x-request-id", "theirs"), ("set-cookie", "b=2")]
        if request.field(":method") == "HEAD":
            request.head(200, ("content-length", "5"), *more, end=True)
        else:
            request.answer(b"hello", 200, *more)

    def streamed(request):
        request.head(200)
        request.send(b"one")
        request.send(b"two")
        request.trail(("grpc-status", "0"), ("checksum", "7"))

    def hints(request):
        request.head(103, ("link", "</a.css>; rel=preload"))
        request.answer()

    def expects(request):
        request.head(100)
        request.whole().answer(bytes(request.body))

    return {
        "/any/fields": fields,
        "/any/streamed": streamed,
        "/any/hints": hints,
        "/any/expects": expects,
        "/any/204": lambda request: request.head(204, end=True),
        "/any/304": lambda request: request.head(304, ("content-length", "9"), end=True),
        "/any/empty": lambda request: request.head(200, end=True),
        "/any/ended-later": lambda request: (request.head(200, ("content-length", "0")), request.send(b"", end=True)),
    }


def answers(world):
    answer = world.get("/any/fields")
    names = [name for name, _ in answer.fields]
    assert answer.body == b"hello" and names.count("set-cookie") == 2 and "x-auth-user" not in names, answer
    assert dict(answer.fields)["x-request-id"] != "theirs" and names.count("x-request-id") == 1
    for method, body in [("GET", b"hello"), ("HEAD", b"")]:
        text = world.http1_answer("/any/fields", method=method)
        assert text.startswith(b"HTTP/1.1 200 OK\r\n") and text.split(b"\r\n\r\n", 1)[1] == body, text
        assert b"\r\nContent-Length: 5\r\n" in text, text
    assert world.get("/any/fields", method="HEAD").body == b""

    answer = world.get("/any/streamed")
    assert (answer.body, sorted(answer.trailers)) == (b"onetwo", [("checksum", "7"), ("grpc-status", "0")]), answer
    text = world.http1_answer("/any/streamed")
    assert b"\r\nTransfer-Encoding: chunked\r\n" in text, text
    assert text.endswith(b"0\r\ngrpc-status: 0\r\nchecksum: 7\r\n\r\n"), text

    answer = world.get("/any/hints")
    assert answer.interims[0][0] == 103 and ("link", "</a.css>; rel=preload") in answer.interims[0][1], answer
    assert world.http1_answer("/any/hints").startswith(b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n")

    with world.http1("/any/expects", "Expect: 100-continue", "Content-Length: 4", method="POST") as client:
        assert client.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"body")
        text = b""
        while not text.endswith(b"\r\n\r\nbody"):
            assert (received := client.recv(65536)), text
            text += received
    for path, status in [("/any/204", 204), ("/any/304", 304), ("/any/empty", 200), ("/any/ended-later", 200)]:
        answer = world.get(path)
        assert (answer.status, answer.body, answer.reset) == (status, b"", None), answer
        with world.http1(path) as client:
            # The connection goes on: the end of such an answer is known.
            assert client.recv(65536).startswith(b"HTTP/1.1 %d " % status)
            client.sendall(f"GET /any/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode())
            text = b""
            while not text.endswith(b"\r\n\r\nok"):
                assert (received := client.recv(65536)), (path, text)
                text += received


# Many requests, few connections.


def crowd(world):
    """The upstream permits 5 streams a connection, the operator 20 requests at once and 100 that wait."""
    at_once, most, lock = {}, {}, threading.Lock()

    def count(request):
        with lock:
            connection = id(request.connection)
            at_once[connection] = at_once.get(connection, 0) + 1
            most[connection] = max(most.get(connection, 0), at_once[connection])
            most["all"] = max(most.get("all", 0), sum(at_once.values()))
        request.whole()
        time.sleep(0.01)
        with lock:
            at_once[id(request.connection)] -= 1
        request.answer()

    world.origin.acts["/any/count"] = count
    peers = [world.peer() for _ in range(4)]
    streams = [(peer, peer.headers(head("/any/count"))) for _ in range(25) for peer in peers]
    for peer, stream in streams:
        assert peer.answer(stream).status == 200, peer.answers[stream]
    assert most.pop("all") <= 20, most
    assert max(most.values()) <= 5 and sum(1 for _ in most) <= 8, most

    release = threading.Event()
    world.origin.acts["/any/hold"] = lambda request: (release.wait(30), request.answer())
    peers = [world.peer(), world.peer()]
    held = [(peer, peer.headers(head("/any/hold"))) for _ in range(10) for peer in peers]
    world.origin.until(lambda: len(world.origin.seen("/any/hold")) == 20)
    waiting = [(peer, peer.headers(head("/any/fine"))) for _ in range(60) for peer in peers]
    full = 'keygate_upstream_errors_total{upstream="api",kind="full"}'
    world.until_metric(full, 20)
    release.set()
    assert [peer.answer(stream).status for peer, stream in held] == [200] * 20
    answers = [peer.answer(stream) for peer, stream in waiting]
    assert [answer.status for answer in answers].count(200) == 100
    assert [code(answer) for answer in answers if answer.status == 503] == ["overloaded"] * 20


# Retries.


def retry_acts():
    once = set()

    def first(request, does):
        """What is done the first time that a path is asked for; then it is answered."""
        path = request.field(":path")
        if path in once:
            request.whole().answer()
        else:
            once.add(path)
            does(request)

    def refuse(request):
        request.end_by_reset(REFUSED_STREAM)

    def leave(request):
        # "I have looked at nothing from this one on, and at nothing before."
        request.connection.goaway(request.stream - 2 if request.stream > 1 else 0)

    return {
        "/any/refused": lambda request: first(request, refuse),
        "/any/refused-post": lambda request: first(request, refuse),
        "/any/refused-body": lambda request: first(request, lambda one: (one.whole(), refuse(one))),
        "/any/refused-always": refuse,
        "/any/left": lambda request: first(request, leave),
        "/any/died": lambda request: first(request, lambda one: one.connection.close()),
        "/any/died-post": lambda request: first(request, lambda one: one.connection.close()),
        "/any/reset": lambda request: request.end_by_reset(INTERNAL_ERROR),
    }


def retries(world):
    """With one worker, so that it is known which connection is used again."""
    world.serves()
    assert world.get("/any/refused").status == 200
    assert world.get("/any/refused-post", method="POST").status == 200, "nobody has looked at it"
    assert len(world.origin.connections) == 1
    peer = world.peer()
    stream = peer.headers(head("/any/refused-body", method="POST"), end=False)
    peer.data(stream, b"body", end=True)
    answer = peer.answer(stream)
    assert answer.status == 502 and code(answer) == "upstream_unreachable", answer
    assert world.get("/any/refused-always").status == 502
    assert [len(world.origin.seen(f"/any/{path}")) for path in ("refused", "refused-body", "refused-always")] == [2, 1, 2]

    assert world.get("/any/left").status == 200
    assert len(world.origin.connections) == 2, "a connection that goes takes no more requests"
    assert world.get("/any/died").status == 200, "a connection that was used before may have been closed meanwhile"
    assert world.get("/any/died-post", method="POST").status == 502, "who knows what it did"
    assert len(world.origin.seen("/any/died-post")) == 1
    assert world.get("/any/reset").status == 502
    assert len(world.origin.seen("/any/reset")) == 1, "somebody has looked at it"
    assert world.metric('keygate_upstream_retries_total{upstream="api"}') == 5
    world.serves()


def leaving_acts():
    def leave(request):
        """In order: what is under way is finished, and nothing new begins (RFC 9113 §6.8)."""
        request.head(200)
        request.connection.goaway(request.stream)
        request.send(b"begun")
        request.until(lambda one: len(one.connection.origin.connections) > 1)
        request.send(b", done", end=True)

    return {"/any/leave": leave}


def leaving(world):
    peer = world.peer()
    stream = peer.headers(head("/any/leave"))
    while not peer.answers[stream].body:
        assert peer.step()
    world.serves()
    assert len(world.origin.connections) == 2
    assert peer.answer(stream).body == b"begun, done"


# Bodies and windows.


def body_acts():
    sent = {"/any/slow": 0}

    def slow(request):
        request.head(200)
        for _ in range(200):
            request.stream_out(b"x" * 100_000, end=False)
            sent["/any/slow"] += 100_000
        request.send(b"", end=True)

    def echo(request):
        request.head(200)
        done = 0
        while True:
            request.until(lambda one: len(one.body) > done or one.ended)
            piece = bytes(request.body[done:])
            done += len(piece)
            request.stream_out(piece, end=False)
            if request.ended and done == len(request.body):
                return request.send(b"", end=True)

    held_back = {}

    def ticks(request):
        """Small pieces, as a stream of small messages has them, for as long as there is room."""
        request.head(200)
        frame = frames.DataFrame(request.stream, data=bytes(range(10))).serialize()
        left, connection = TICKS, request.connection
        while left:
            with connection.changed:
                while min(request.window, connection.window) < 10:
                    held_back[request.stream] = held_back.get(request.stream, 0) + 1
                    connection.changed.wait(0.2)
                    if connection.closed:
                        return
                count = min(left, request.window // 10, connection.window // 10, 500)
                request.window -= 10 * count
                connection.window -= 10 * count
            connection.send_bytes(frame * count)
            left -= count
        request.send(b"", end=True)

    return {
        "held back": held_back,
        "/any/ticks": ticks,
        "/any/echo": echo,
        "/any/slow": slow,
        "/any/down": lambda request: request.answer(b"d" * 20_000_000),
        "sent": sent,
    }


def bodies(world):
    up = bytes(range(256)) * 80_000
    for client in ("http2", "http1"):
        if client == "http2":
            peer = world.peer(window=1 << 20)
            stream = peer.headers(head("/any/up", method="POST"), end=False)
            peer.upload(stream, up)
            assert peer.answer(stream).status == 200
            answer = world.get("/any/down")
            assert len(answer.body) == 20_000_000, len(answer.body)
            stream = peer.headers(head("/any/echo", method="POST"), end=False)
            for number in range(50):
                # Both directions at once: each piece is answered before the next is sent.
                peer.data(stream, b"ping%02d" % number)
                while len(peer.answers[stream].body) < 6 * (number + 1):
                    assert peer.step()
            peer.data(stream, b"", end=True)
            assert peer.answer(stream).body == b"".join(b"ping%02d" % number for number in range(50))
        else:
            text = world.http1_answer("/any/up", f"Content-Length: {len(up)}", method="POST", body=up)
            assert text.startswith(b"HTTP/1.1 200 "), text[:100]
            assert len(world.http1_answer("/any/down").split(b"\r\n\r\n", 1)[1]) == 20_000_000
    assert [bytes(one.body) == up for one in world.origin.seen("/any/up")] == [True, True]


def slow_readers(world):
    """Clients that do not read hold back their own answers, and nobody else's on the same connection."""
    sent = world.origin.acts["sent"]
    slow = [world.peer(reads=False) for _ in range(20)]
    streams = [peer.headers(head("/any/slow")) for peer in slow]
    for peer, stream in zip(slow, streams):
        while len(peer.answers[stream].body) < 65535:
            assert peer.step()
    before = -1
    while before != (before := sent["/any/slow"]):
        world.serves()
        time.sleep(0.3)
    in_flight = 65535 + STREAM_WINDOW + 3 * 64 * 1024 + 100_000
    assert sent["/any/slow"] <= 20 * in_flight, sent
    assert len(world.origin.connections) <= 2
    assert not any(connection.goaways for connection in world.origin.connections)
    for peer, stream in zip(slow[:2], streams):
        peer.reads = True
        peer.send(frames.WindowUpdateFrame(0, window_increment=65535), frames.WindowUpdateFrame(stream, window_increment=65535))
        assert len(peer.answer(stream).body) == 20_000_000


def small_messages(world):
    """Clients that do not read what comes in small pieces hold back nobody else either; there is one worker."""
    slow = [world.peer(reads=False) for _ in range(8)]
    streams = [peer.headers(head("/any/ticks")) for peer in slow]
    for number in range(8):
        request = world.origin.request("/any/ticks", number)
        request.until(lambda one: one.connection.origin.acts["held back"].get(one.stream, 0) > 2)
    world.serves()
    assert len(world.origin.connections) == 1 and not world.origin.connections[0].closed
    for peer, stream in zip(slow, streams):
        peer.reads = True
        peer.send(
            frames.WindowUpdateFrame(0, window_increment=10_000_000),
            frames.WindowUpdateFrame(stream, window_increment=10_000_000),
        )
        answer = peer.answer(stream)
        assert answer.ended and answer.body == bytes(range(10)) * TICKS, (answer.ended, len(answer.body), answer.reset)


def unread_upload(world):
    """An upstream that takes nothing holds the client back."""
    world.origin.opens_windows = False
    peer = world.peer()
    stream = peer.headers(head("/any/up", method="POST"), end=False)
    total, view = 0, b"u" * 16384
    while True:
        while min(peer.connection_window, peer.windows[stream]) >= len(view):
            peer.data(stream, view)
            peer.connection_window -= len(view)
            peer.windows[stream] -= len(view)
            total += len(view)
        before = (peer.connection_window, peer.windows[stream])
        for _ in range(5):
            assert peer.round_trip()
            time.sleep(0.1)
        if before == (peer.connection_window, peer.windows[stream]):
            break
    assert total <= 65535 + 3 * 64 * 1024 + STREAM_WINDOW + 65536, total
    peer.send(frames.RstStreamFrame(stream, error_code=CANCEL))
    request = world.origin.request("/any/up")
    request.until(lambda one: one.reset is not None)
    assert request.reset == CANCEL


# Ends.


def end_acts():
    def early(request):
        request.head(200, ("content-length", "5"))
        request.send(b"early", end=True)
        request.end_by_reset(NO_ERROR)

    def early_and_silent(request):
        request.head(200)
        request.send(b"early", end=True)

    def cut_off(reason):
        def act(request):
            request.head(200)
            request.send(b"half")
            request.until(lambda one: one.connection.origin.acts["go"].is_set())
            request.end_by_reset(reason)

        return act

    def died(request):
        request.head(200)
        request.send(b"half")
        request.connection.close()

    def forever(request):
        request.head(200)
        request.send(b"begun")
        request.until(lambda one: one.reset is not None)

    def events(request):
        request.head(200, ("content-type", "text/event-stream"))
        for number in range(3):
            request.send(b"data: %d\n\n" % number)
            time.sleep(1.5)
        request.send(b"", end=True)

    go = threading.Event()
    go.set()
    return {
        "/any/events": events,
        "/any/poll": lambda request: (time.sleep(0.7), request.answer(b"news")),
        "go": go,
        "/any/early": early,
        "/any/early-silent": early_and_silent,
        "/any/cut-off": cut_off(INTERNAL_ERROR),
        "/any/cut-off-in-peace": cut_off(NO_ERROR),
        "/any/cut-off-cancel": cut_off(CANCEL),
        "/any/died": died,
        "/any/forever": forever,
        "/any/mute": lambda request: request.until(lambda one: one.reset is not None),
    }


def ends(world):
    origin = world.origin
    # An answer before the request was whole is not lost, and the rest of the request is not sent.
    for path in ("/any/early", "/any/early-silent"):
        peer = world.peer()
        stream = peer.headers(head(path, method="POST"), end=False)
        peer.data(stream, b"some")
        answer = peer.answer(stream)
        assert (answer.status, answer.body, answer.ended) == (200, b"early", True), answer
        text = world.http1_answer(path, "Content-Length: 1000", method="POST", body=b"some")
        assert text.split(b"\r\n\r\n", 1)[1].replace(b"5\r\nearly\r\n0\r\n\r\n", b"early") == b"early", text
    for number in range(2):
        request = origin.request("/any/early-silent", number)
        request.until(lambda one: one.reset is not None)
        assert request.reset == NO_ERROR

    # What is cut short never looks whole.
    for path in ("/any/cut-off", "/any/cut-off-in-peace", "/any/cut-off-cancel", "/any/died"):
        answer = world.get(path)
        # The head may go with the reset.
        assert answer.status in (0, 200), (path, answer)
        assert (answer.ended, answer.reset) == (False, INTERNAL_ERROR), (path, answer)
        text = world.http1_answer(path)
        assert not text.endswith(b"0\r\n\r\n"), (path, text)

    # A client that leaves takes its request along.
    peer = world.peer()
    for number, path in enumerate(["/any/forever", "/any/mute"]):
        stream = peer.headers(head(path))
        request = origin.request(path)
        peer.send(frames.RstStreamFrame(stream, error_code=CANCEL))
        request.until(lambda one: one.reset is not None)
        assert request.reset == CANCEL, number
    client = world.http1("/any/forever")
    client.recv(65536)
    client.close()
    request = origin.request("/any/forever", 1)
    request.until(lambda one: one.reset is not None)
    assert request.reset == CANCEL
    world.serves()


def cut(world):
    """A revocation ends what is under way, on both sides, and is counted."""
    peer = world.peer()
    begun = peer.headers(head("/any/forever"))
    mute = peer.headers(head("/any/mute"))
    stays = peer.headers(head("/any/forever", key=OTHER_KEY))
    while not (peer.answers[begun].body and peer.answers[stays].body):
        assert peer.step()
    old = world.http1("/any/forever")
    world.origin.request("/any/forever", 2)
    world.origin.request("/any/mute")
    command = [world.keygate, "keys", "revoke", "one"]
    revoked = subprocess.run(command, cwd=world.folder, capture_output=True, text=True, timeout=30)
    assert revoked.returncode == 0, revoked
    assert peer.answer(begun).reset == CANCEL, peer.answers[begun]
    assert peer.answer(mute).status == 401, peer.answers[mute]
    assert read_all(old).endswith(b"<reset>")
    for path, number in [("/any/forever", 0), ("/any/forever", 2), ("/any/mute", 0)]:
        request = world.origin.request(path, number)
        if request.field("x-auth-key-id") == "one":
            request.until(lambda one: one.reset is not None)
            assert request.reset == CANCEL, path
    world.until_metric('keygate_streams_cut_total{reason="key_revoked"}', 3)
    assert peer.answers[stays].reset is None
    still = [one for one in world.origin.seen("/any/forever") if one.field("x-auth-key-id") == "two"]
    assert [one.reset for one in still] == [None]


def abandoning_acts():
    def overtaken(request):
        """The answer was on its way when the request was given up."""
        request.until(lambda one: one.reset is not None)
        request.head(200)
        request.send(b"too")
        request.send(b"late", end=True)

    def lasting(request):
        request.head(200)
        request.send(b"begun")
        request.until(lambda one: one.connection.origin.acts["go"].is_set())
        request.send(b", done", end=True)

    return {"/any/overtaken": overtaken, "/any/lasting": lasting, "go": threading.Event()}


def abandoning(world):
    """Clients that give up request after request end nobody else's, whose connections they share; there is one worker."""
    patient = world.peer()
    stream = patient.headers(head("/any/lasting"))
    while not patient.answers[stream].body:
        assert patient.step()
    abandoned = world.origin.seen("/any/overtaken")
    for number in range(16):
        peer = world.peer()
        streams = [peer.headers(head("/any/overtaken")) for _ in range(100)]
        world.origin.request("/any/overtaken", 100 * number + 99)
        peer.send(*[frames.RstStreamFrame(one, error_code=CANCEL) for one in streams])
        for request in (abandoned := world.origin.seen("/any/overtaken"))[100 * number :]:
            request.until(lambda one: one.reset is not None)
        world.serves()
    assert {request.reset for request in abandoned} == {CANCEL}
    world.origin.acts["go"].set()
    answer = patient.answer(stream)
    assert (answer.body, answer.ended) == (b"begun, done", True), answer
    goaways = [reason for connection in world.origin.connections for reason, _ in connection.goaways]
    assert set(goaways) <= {NO_ERROR}, goaways


# Time.


def late(world):
    """`first_byte` and `idle` are a second, `keep_alive` too; events may take their time."""
    assert world.get("/any/poll").body == b"news"
    assert world.get("/any/events").body == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
    assert world.http1_answer("/any/events").endswith(b"0\r\n\r\n")
    answer = world.get("/any/mute")
    assert answer.status == 504 and code(answer) == "upstream_timeout", answer
    world.origin.request("/any/mute").until(lambda one: one.reset is not None)
    answer = world.get("/any/forever")
    assert (answer.body, answer.ended, answer.reset) == (b"begun", False, INTERNAL_ERROR), answer
    world.serves()
    # A connection that was silent for all of that time is not trusted any more, and one without requests closes in order.
    for connection in world.origin.connections:
        connection.until(lambda: connection.goaways or connection.closed)
        assert all(reason == NO_ERROR for reason, _ in connection.goaways)
    for state in ("idle", "in_use"):
        world.until_metric(f'keygate_upstream_connections{{upstream="api",state="{state}"}}', 0)
    world.serves()


def frozen_acts():
    def frozen(request):
        # The first connection says nothing more.
        if request.connection is not request.connection.origin.connections[0]:
            request.whole().answer()

    return {"/any/frozen": frozen}


def frozen(world):
    """Where an answer is owed and nothing comes, the upstream is asked whether it is there (PING, RFC 9113 §6.7). One that does not
    say so is given up: a request that may be sent twice goes to another connection, another fails."""
    world.serves()
    connection = world.origin.connections[0]
    connection.answers_pings = False
    peer = world.peer()
    once = peer.headers(head("/any/frozen", method="POST"))
    again = peer.headers(head("/any/frozen"))
    connection.until(lambda: connection.pings == 1)
    assert not connection.closed
    answer = peer.answer(once)
    assert answer.status == 502, answer
    answer = peer.answer(again)
    assert (answer.status, bytes(answer.body)) == (200, b"ok"), answer
    connection.until(lambda: connection.closed)
    assert connection.pings == 1 and len(world.origin.connections) == 2
    world.serves()


def unready(world):
    """An upstream that says nothing at all is given up after `connect`, for everybody who waits for it."""
    peers = [world.peer() for _ in range(5)]
    streams = [peer.headers(head("/any/x")) for peer in peers]
    for peer, stream in zip(peers, streams):
        answer = peer.answer(stream)
        assert answer.status == 504 and code(answer) == "upstream_timeout", answer


# TLS.


def negotiated(world):
    """HTTP/2 where both want it; upgrades need a connection of HTTP/1.1."""
    world.serves()
    assert world.origin.request("/any/fine").field(":scheme") == "https"
    handshake = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: x"]
    with world.http1("/ws/x", *handshake) as client:
        assert client.recv(65536).startswith(b"HTTP/1.1 101 ")
        client.sendall(b"\x82\x80\0\0\0\0")
        assert client.recv(65536) == b"\x82\x80\0\0\0\0"
    world.serves()
    assert set(world.origin.chosen) == {"h2", "http/1.1"}, world.origin.chosen


def h2_only(world):
    """A WebSocket is refused clearly where the upstream takes no HTTP/1.1."""
    world.serves()
    handshake = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: x"]
    text = world.http1_answer("/ws/x", *handshake[1:], "Connection: Upgrade")
    assert text.startswith(b"HTTP/1.1 502 ") and b"upstream_unreachable" in text, text
    world.serves()


def http1_chosen(world):
    for _ in range(3):
        answer = world.get("/any/x")
        assert (answer.status, answer.body) == (200, b"htt1"), answer
    assert set(world.origin.chosen) <= {"http/1.1", None}, world.origin.chosen


def http1_wanted(world):
    http1_chosen(world)


def no_agreement(world):
    answer = world.get("/any/x")
    assert answer.status == 502 and code(answer) == "upstream_unreachable", answer


# What each scenario's upstream does, and how it introduces itself.
ACTS = {
    "answers": answer_acts,
    "retries": retry_acts,
    "leaving": leaving_acts,
    "bodies": body_acts,
    "slow_readers": body_acts,
    "small_messages": body_acts,
    "unread_upload": body_acts,
    "ends": end_acts,
    "cut": end_acts,
    "abandoning": abandoning_acts,
    "late": end_acts,
    "frozen": frozen_acts,
}
SETTINGS = {"crowd": {3: 5}}
PROTOCOLS = {
    "negotiated": ("h2", "http/1.1"),
    "http1_chosen": ("http/1.1",),
    "http1_wanted": ("h2", "http/1.1"),
    "no_agreement": (),
}

if __name__ == "__main__":
    name, *tls = sys.argv[1:]
    acts = ACTS.get(name, dict)()
    main(globals()[name], acts, SETTINGS.get(name), tls, PROTOCOLS.get(name, ("h2",)), is_mute=name == "unready")
