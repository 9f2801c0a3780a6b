"""A gRPC server and its clients (grpcio), before and behind the gateway: `calls.py NAME [CERTIFICATE KEY]`.

It prints the port of its server, reads a line of JSON that tells where the gateway is, and runs the scenario NAME.
Messages are bytes as they are, so that nothing must be generated.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from concurrent import futures

import grpc

KEY = "a-key-for-the-tests-of-http2-0123456789"
READER = "another-key-for-the-tests-of-http2-0123456789"
GUARD = 30
LARGE = 20_000_000
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Service:
    """What the server does; it keeps what it saw."""

    def __init__(self):
        self.metadata, self.remaining = None, None
        self.ended, self.begun = threading.Event(), threading.Event()

    def note(self, context):
        self.metadata, self.remaining = dict(context.invocation_metadata()), context.time_remaining()
        self.ended.clear()
        context.add_callback(self.ended.set)
        self.begun.set()

    def unary(self, message, context):
        self.note(context)
        context.send_initial_metadata([("x-initial", "first"), ("x-initial-bin", b"\0\xff")])
        context.set_trailing_metadata([("x-trailing", "last"), ("x-trailing-bin", b"\xfe\1")])
        return message

    def collect(self, messages, context):
        self.note(context)
        return b"%d" % sum(len(message) for message in messages)

    def count(self, message, context):
        self.note(context)
        for number in range(int(message)):
            yield b"%d" % number

    def converse(self, messages, context):
        self.note(context)
        for message in messages:
            yield b"re: " + message
        context.set_trailing_metadata([("x-trailing", "goodbye")])

    def wait(self, message, context):
        self.note(context)
        while context.is_active():
            self.ended.wait(1)
        return message

    def listen(self, messages, context):
        self.note(context)
        yield b"listening"
        self.ended.wait(GUARD)

    def fail(self, message, context):
        code, text = message.decode().split(" ", 1)
        context.set_trailing_metadata([("x-why", "told")])
        context.abort(next(one for one in grpc.StatusCode if one.name == code), text)

    def answer_early(self, messages, context):
        self.note(context)
        return b"enough"

    def handlers(self):
        unary, collect = grpc.unary_unary_rpc_method_handler, grpc.stream_unary_rpc_method_handler
        count, converse = grpc.unary_stream_rpc_method_handler, grpc.stream_stream_rpc_method_handler
        return grpc.method_handlers_generic_handler("test.Echo", {
            "Unary": unary(self.unary),
            "Collect": collect(self.collect),
            "Count": count(self.count),
            "Converse": converse(self.converse),
            "Wait": unary(self.wait),
            "Listen": converse(self.listen),
            "Fail": unary(self.fail),
            "AnswerEarly": collect(self.answer_early),
        })


class World:
    """The gateway with a server behind it and a channel before it."""

    def __init__(self, server, service, place):
        self.server, self.service, self.place = server, service, place
        self.channel = self.open()

    def open(self):
        return grpc.insecure_channel(self.place["data"], options=OPTIONS)

    def call(self, kind, method, channel=None):
        return getattr(channel or self.channel, kind)(f"/test.Echo/{method}")

    def unary(self, method, message=b"hi", key=KEY, metadata=(), **how):
        credential = [("authorization", f"Bearer {key}")] if key else []
        return self.call("unary_unary", method).with_call(
            message, metadata=[*credential, *metadata], timeout=how.pop("timeout", GUARD), **how
        )

    def refusal(self, method, **how):
        try:
            self.unary(method, **how)
        except grpc.RpcError as error:
            return error
        raise AssertionError(f"{method} was answered")


def authorized(key=KEY):
    return [("authorization", f"Bearer {key}")]


def kinds(world):
    """All four kinds of call, with metadata in both directions."""
    service = world.service
    sent = [("x-tag", "blue"), ("x-data-bin", b"\0\1\xff"), ("x-auth-user", "root")]
    answer, call = world.unary("Unary", b"hello", metadata=sent)
    assert answer == b"hello"
    seen = service.metadata
    assert (seen["x-tag"], seen["x-data-bin"], seen["x-auth-key-id"]) == ("blue", b"\0\1\xff", "one"), seen
    assert "authorization" not in seen and seen.get("x-auth-user") != "root", seen
    initial, trailing = dict(call.initial_metadata()), dict(call.trailing_metadata())
    assert (initial["x-initial"], initial["x-initial-bin"]) == ("first", b"\0\xff"), initial
    assert (trailing["x-trailing"], trailing["x-trailing-bin"]) == ("last", b"\xfe\1"), trailing

    messages = (b"x" * 100 for _ in range(1000))
    assert world.call("stream_unary", "Collect")(messages, metadata=authorized(), timeout=GUARD) == b"100000"
    counted = world.call("unary_stream", "Count")(b"1000", metadata=authorized(), timeout=GUARD)
    assert list(counted) == [b"%d" % number for number in range(1000)]

    # Each message is answered before the next is sent: nothing is gathered on the way, in either direction.
    outbox = queue.Queue()
    replies = world.call("stream_stream", "Converse")(iter(outbox.get, None), metadata=authorized(), timeout=GUARD)
    for number in range(100):
        outbox.put(b"%d" % number)
        assert next(replies) == b"re: %d" % number
    outbox.put(None)
    assert list(replies) == [] and replies.code() is grpc.StatusCode.OK
    assert dict(replies.trailing_metadata())["x-trailing"] == "goodbye"

    # The server has enough before the client has said everything.
    endless = iter(lambda: time.sleep(0.01) or b"more", None)
    assert world.call("stream_unary", "AnswerEarly")(endless, metadata=authorized(), timeout=GUARD) == b"enough"


def large(world):
    answer, _ = world.unary("Unary", bytes(range(256)) * (LARGE // 256))
    assert answer == bytes(range(256)) * (LARGE // 256)
    pieces = world.call("stream_stream", "Converse")(
        (b"y" * 1_000_000 for _ in range(20)), metadata=authorized(), timeout=GUARD
    )
    assert sum(len(piece) for piece in pieces) == 20 * (1_000_000 + len(b"re: "))


def deadlines(world):
    """The server knows the client's deadline, and learns that it is over; so it does of a client that cancels."""
    service = world.service
    error = world.refusal("Wait", timeout=1)
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED, error
    assert service.remaining is not None and service.remaining <= 1, service.remaining
    assert service.ended.wait(GUARD)

    for kind, method, request in [("unary_unary", "Wait", b"hi"), ("stream_stream", "Listen", iter(queue.Queue().get, None))]:
        service.begun.clear()
        call = world.call(kind, method)
        begun = call.future(request, metadata=authorized()) if kind == "unary_unary" else call(request, metadata=authorized())
        assert service.begun.wait(GUARD)
        if method == "Listen":
            assert next(begun) == b"listening"
        begun.cancel()
        assert begun.code() is grpc.StatusCode.CANCELLED
        assert service.ended.wait(GUARD), "the server was not told"

    # Half a minute is what other bodies may pause; a call that listens says nothing for as long as it likes.
    service.begun.clear()
    outbox = queue.Queue()
    call = world.call("stream_stream", "Converse")(iter(outbox.get, None), metadata=authorized(), timeout=GUARD)
    assert service.begun.wait(GUARD)
    time.sleep(2.5)
    outbox.put(b"late")
    assert next(call) == b"re: late"
    time.sleep(2.5)
    outbox.put(b"later")
    assert next(call) == b"re: later"
    outbox.put(None)
    assert list(call) == []


def statuses(world):
    """The server's own refusals, told as it tells them."""
    for code in grpc.StatusCode:
        if code is grpc.StatusCode.OK:
            continue
        error = world.refusal("Fail", message=f"{code.name} caf\u00e9 100%".encode())
        assert (error.code(), error.details()) == (code, "caf\u00e9 100%"), error
        assert dict(error.trailing_metadata())["x-why"] == "told"


def refusals(world):
    """The gateway's refusals are statuses of gRPC."""
    code = grpc.StatusCode
    for method, how, expected in [
        ("Unary", {"key": None}, code.UNAUTHENTICATED),
        ("Unary", {"key": "nobody-knows-this-key-0123456789abcdef"}, code.UNAUTHENTICATED),
        ("Unary", {"key": READER}, code.PERMISSION_DENIED),
        ("Unary", {"message": b"x" * 2_000_000}, code.RESOURCE_EXHAUSTED),
    ]:
        error = world.refusal(method, **how)
        assert error.code() is expected, (how.get("key"), error)
        assert error.details(), error
    try:
        world.channel.unary_unary("/other.Service/Method")(b"", metadata=authorized(), timeout=GUARD)
        raise AssertionError("it was answered")
    except grpc.RpcError as error:
        assert error.code() is code.NOT_FOUND, error
    streamed = world.call("stream_stream", "Converse")(iter([b"x"]), metadata=authorized("nobody"), timeout=GUARD)
    try:
        list(streamed)
        raise AssertionError("it was answered")
    except grpc.RpcError as error:
        assert error.code() is code.UNAUTHENTICATED, error

    world.server.stop(None).wait()
    error = world.refusal("Unary")
    assert error.code() is code.UNAVAILABLE, error


def revoked(world):
    """A call that is under way ends with its key."""
    call = world.call("stream_stream", "Listen")(iter(queue.Queue().get, None), metadata=authorized(), timeout=GUARD)
    assert next(call) == b"listening"
    command = [world.place["keygate"], "keys", "revoke", "one"]
    run = subprocess.run(command, cwd=world.place["folder"], capture_output=True, text=True, timeout=GUARD)
    assert run.returncode == 0, run
    try:
        next(call)
        raise AssertionError("it goes on")
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.CANCELLED, error
    assert world.service.ended.wait(GUARD), "the server was not told"
    assert world.refusal("Unary").code() is grpc.StatusCode.UNAUTHENTICATED


def drained(world):
    """A gateway that stops lets the calls under way go on to their end."""
    outbox = queue.Queue()
    call = world.call("stream_stream", "Converse")(iter(outbox.get, None), metadata=authorized(), timeout=GUARD)
    for number in range(10):
        outbox.put(b"%d" % number)
        assert next(call) == b"re: %d" % number
        if number == 4:
            os.kill(world.place["pid"], signal.SIGTERM)
    outbox.put(None)
    assert list(call) == [] and call.code() is grpc.StatusCode.OK


def many(world):
    """Calls of several clients at once."""
    channels = [world.open() for _ in range(4)]
    calls = [
        world.call("unary_unary", "Unary", channel).future(b"%d" % number, metadata=authorized(), timeout=GUARD)
        for number in range(200)
        for channel in channels
    ]
    assert [call.result() for call in calls] == [b"%d" % number for number in range(200) for _ in channels]


def restarted(world):
    """A server that ages out its connections (GOAWAY) while calls are made."""
    for number in range(300):
        answer, _ = world.unary("Unary", b"%d" % number)
        assert answer == b"%d" % number
        time.sleep(0.01)


def main(name, *tls):
    service = Service()
    options = OPTIONS + ([("grpc.max_connection_age_ms", 500)] if name == "restarted" else [])
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=40), options=options)
    server.add_generic_rpc_handlers((service.handlers(),))
    if tls:
        with open(tls[0], "rb") as certificate, open(tls[1], "rb") as key:
            credentials = grpc.ssl_server_credentials([(key.read(), certificate.read())])
        port = server.add_secure_port("127.0.0.1:0", credentials)
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    globals()[name](World(server, service, json.loads(sys.stdin.readline())))
    server.stop(None).wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
