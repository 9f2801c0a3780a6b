"""An upstream that speaks HTTP/2, frame by frame: it keeps what it gets, and does what the test tells it to, right or wrong."""

import contextlib
import dataclasses
import socket
import ssl
import threading

import hpack
import hyperframe.frame as frames

from frame_reader import PREFACE, FrameReader

GUARD = 30


class Gone(Exception):
    """The connection has closed."""


@dataclasses.dataclass
class Request:
    """What came on one stream, and the way back."""

    connection: "Connection"
    stream: int
    fields: list
    body: bytearray = dataclasses.field(default_factory=bytearray)
    trailers: list = dataclasses.field(default_factory=list)
    ended: bool = False
    reset: int | None = None
    window: int = 65535

    def field(self, name):
        return dict(self.fields).get(name)

    def until(self, holds):
        """Waits until something is so; fails where the connection closes before."""
        self.connection.until(lambda: holds(self))

    def whole(self):
        self.until(lambda request: request.ended)
        return self

    def head(self, status=200, *fields, end=False):
        self.connection.headers(self.stream, [(":status", str(status)), *fields], end)

    def trail(self, *fields):
        self.connection.headers(self.stream, list(fields), True)

    def send(self, data, end=False):
        """DATA without regard for windows."""
        self.connection.send(frames.DataFrame(self.stream, data=data, flags=["END_STREAM"] if end else []))

    def stream_out(self, data, end=True):
        """DATA as far as the windows allow, waiting for them to open."""
        view, connection = memoryview(data), self.connection
        while view:
            with connection.changed:
                connection.until(lambda: min(self.window, connection.window) > 0 or self.reset is not None)
                if self.reset is not None:
                    return
                room = min(self.window, connection.window, 16384, len(view))
                self.window -= room
                connection.window -= room
            self.send(bytes(view[:room]))
            view = view[room:]
        if end:
            self.send(b"", end=True)

    def answer(self, body=b"ok", status=200, *fields):
        self.head(status, ("content-length", str(len(body))), *fields)
        self.stream_out(body)

    def end_by_reset(self, code):
        self.connection.send(frames.RstStreamFrame(self.stream, error_code=code))


class Connection(FrameReader):
    """One connection of the gateway."""

    def __init__(self, origin, peer):
        super().__init__(peer)
        self.origin = origin
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.encoder = hpack.Encoder()
        self.requests, self.settings, self.goaways, self.pongs = {}, {}, [], 0
        # Questions whether it is there, and whether it says so.
        self.pings, self.answers_pings = 0, True
        self.window, self.initial_window, self.closed = 65535, 65535, False
        self.opens_windows = origin.opens_windows

    def send(self, *out):
        with self.lock, contextlib.suppress(OSError):
            self.socket.sendall(b"".join(one.serialize() for one in out))

    def send_bytes(self, data):
        with self.lock, contextlib.suppress(OSError):
            self.socket.sendall(data)

    def headers(self, stream, fields, end):
        with self.lock:
            block = self.encoder.encode(fields, huffman=False)
            pieces = [block[at : at + 16384] for at in range(0, len(block), 16384)] or [b""]
            kinds = [frames.HeadersFrame] + [frames.ContinuationFrame] * (len(pieces) - 1)
            out = [kind(stream, data=piece) for kind, piece in zip(kinds, pieces)]
            if end:
                out[0].flags.add("END_STREAM")
            out[-1].flags.add("END_HEADERS")
            self.send(*out)

    def goaway(self, last, code=0):
        self.send(frames.GoAwayFrame(0, last_stream_id=last, error_code=code))

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def until(self, holds):
        with self.changed:
            assert self.changed.wait_for(lambda: holds() or self.closed, GUARD), "waited too long"
            if not holds():
                raise Gone

    def serve(self):
        try:
            if self.read(len(PREFACE)) != PREFACE:
                return
            self.send(frames.SettingsFrame(0, settings=self.origin.settings))
            while (frame := self.read_frame()) is not None:
                self.take(frame)
        except (OSError, ValueError, hpack.HPACKError):
            pass
        finally:
            with self.changed:
                self.closed = True
                self.changed.notify_all()
            with contextlib.suppress(OSError):
                self.socket.close()

    def take(self, frame):
        begun = None
        with self.changed:
            request = self.requests.get(frame.stream_id)
            if isinstance(frame, frames.SettingsFrame) and "ACK" not in frame.flags:
                self.settings.update(frame.settings)
                grown = frame.settings.get(4, self.initial_window) - self.initial_window
                self.initial_window += grown
                for one in self.requests.values():
                    one.window += grown
                self.send(frames.SettingsFrame(0, flags=["ACK"]))
            elif isinstance(frame, frames.PingFrame):
                if "ACK" in frame.flags:
                    self.pongs += 1
                else:
                    self.pings += 1
                    if self.answers_pings:
                        self.send(frames.PingFrame(0, opaque_data=frame.opaque_data, flags=["ACK"]))
            elif isinstance(frame, frames.WindowUpdateFrame):
                if frame.stream_id == 0:
                    self.window += frame.window_increment
                elif request:
                    request.window += frame.window_increment
            elif isinstance(frame, frames.HeadersFrame):
                fields = self.read_block(frame)
                if request:
                    request.trailers = fields
                else:
                    request = begun = Request(self, frame.stream_id, fields, window=self.initial_window)
                    self.requests[frame.stream_id] = request
            elif isinstance(frame, frames.DataFrame):
                request.body += frame.data
                if self.opens_windows and frame.flow_controlled_length:
                    size = frame.flow_controlled_length
                    self.send(
                        frames.WindowUpdateFrame(0, window_increment=size),
                        frames.WindowUpdateFrame(frame.stream_id, window_increment=size),
                    )
            elif isinstance(frame, frames.RstStreamFrame):
                request.reset = frame.error_code
            elif isinstance(frame, frames.GoAwayFrame):
                self.goaways.append((frame.error_code, frame.last_stream_id))
            if request and "END_STREAM" in frame.flags:
                request.ended = True
            self.changed.notify_all()
        if begun:
            self.origin.begin(begun)


class Origin:
    """The upstream. `acts` says what is done for a path: a function of the request, run on a thread of its own."""

    def __init__(self, acts, settings=None, tls=None, protocols=("h2",)):
        self.acts, self.settings, self.opens_windows = acts, settings or {}, True
        self.connections, self.requests, self.failures = [], [], []
        self.changed = threading.Condition()
        # What it says that is no HTTP/2; None is HTTP/2.
        self.says = None
        # Whether it says nothing at all.
        self.is_mute = False
        self.context, self.protocols = None, tuple(protocols)
        if tls:
            self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self.context.load_cert_chain(*tls)
            if protocols:
                self.context.set_alpn_protocols(list(protocols))
        self.chosen = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            peer, _ = self.listener.accept()
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.shake, args=(peer,), daemon=True).start()

    def shake(self, peer):
        if self.context:
            try:
                peer = self.context.wrap_socket(peer, server_side=True)
            except (ssl.SSLError, OSError):
                return
            self.chosen.append(peer.selected_alpn_protocol())
        if self.is_mute:
            peer.recv(1 << 20)
            threading.Event().wait()
        if self.says is not None or (self.context and self.protocols != ("h2",) and self.chosen[-1] != "h2"):
            self.speak_http1(peer)
            return
        connection = Connection(self, peer)
        with self.changed:
            self.connections.append(connection)
            self.changed.notify_all()
        connection.serve()

    def speak_http1(self, peer):
        """Answers as HTTP/1.1 does; an upgrade becomes an echo."""
        with contextlib.suppress(OSError):
            data = b""
            while b"\r\n\r\n" not in data:
                received = peer.recv(65536)
                if not received:
                    return
                data += received
            if self.says is not None:
                peer.sendall(self.says)
                peer.close()
            elif b"\r\nupgrade: websocket" in data.lower():
                peer.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
                while received := peer.recv(65536):
                    peer.sendall(received)
            else:
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nhtt1")
                peer.close()

    def begin(self, request):
        with self.changed:
            self.requests.append(request)
            self.changed.notify_all()
        path = request.field(":path").split("?")[0]
        act = self.acts.get(path, lambda request: request.whole().answer())
        threading.Thread(target=self.act, args=(act, request), daemon=True).start()

    def act(self, act, request):
        try:
            act(request)
        except Gone:
            pass
        except Exception as failure:  # told by the test's thread
            self.failures.append(failure)

    def seen(self, path):
        """The requests for a path so far."""
        return [one for one in self.requests if one.field(":path").split("?")[0] == path]

    def until(self, holds):
        with self.changed:
            assert self.changed.wait_for(holds, GUARD), "waited too long"

    def request(self, path, number=0):
        """The request number `number` for a path, once it came."""
        self.until(lambda: len(self.seen(path)) > number)
        return self.seen(path)[number]
