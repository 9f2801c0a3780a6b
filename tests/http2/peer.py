"""One HTTP/2 connection, frame by frame: it sends whatever it is told to, right or wrong, and keeps what it gets."""

import dataclasses
import socket
import ssl

import hpack
import hyperframe.frame as frames

from frame_reader import PREFACE, FrameReader


@dataclasses.dataclass
class Answer:
    """What came on one stream."""

    status: int = 0
    fields: list = dataclasses.field(default_factory=list)
    interims: list = dataclasses.field(default_factory=list)
    body: bytearray = dataclasses.field(default_factory=bytearray)
    pieces: int = 0
    trailers: list = dataclasses.field(default_factory=list)
    ended: bool = False
    reset: int | None = None


class Peer(FrameReader):
    """A client. `window` is what each stream may receive ahead; windows are opened again unless `reads` is false."""

    def __init__(self, address, window=65535, reads=True, acknowledges=True, tls=False):
        host, port = address.rsplit(":", 1)
        connection = socket.create_connection((host, int(port)), timeout=20)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_alpn_protocols(["h2"])
            connection = context.wrap_socket(connection, server_hostname="localhost")
            assert connection.selected_alpn_protocol() == "h2"
        super().__init__(connection)
        self.encoder = hpack.Encoder()
        self.reads, self.acknowledges = reads, acknowledges
        self.answers, self.settings, self.pongs = {}, {}, 0
        self.goaways, self.closed = [], False
        self.connection_window, self.windows, self.initial_window = 65535, {}, 65535
        self.unanswered_pings, self.next_stream = [], 1
        self.socket.sendall(PREFACE)
        self.send(frames.SettingsFrame(0, settings={4: window, 2: 0}))

    # Out.

    def send(self, *out):
        try:
            self.socket.sendall(b"".join(one.serialize() for one in out))
        except (BrokenPipeError, ConnectionResetError):
            pass

    def headers(self, fields, stream=None, end=True):
        """A HEADERS frame of `fields` as they are, in their order. The stream's number."""
        if stream is None:
            stream, self.next_stream = self.next_stream, self.next_stream + 2
        self.answers.setdefault(stream, Answer())
        self.windows.setdefault(stream, self.initial_window)
        block = self.encoder.encode(fields, huffman=False)
        pieces = [block[at : at + 16384] for at in range(0, len(block), 16384)] or [b""]
        kinds = [frames.HeadersFrame] + [frames.ContinuationFrame] * (len(pieces) - 1)
        out = [kind(stream, data=piece) for kind, piece in zip(kinds, pieces)]
        if end:
            out[0].flags.add("END_STREAM")
        out[-1].flags.add("END_HEADERS")
        self.send(*out)
        return stream

    def data(self, stream, data, end=False):
        """DATA without regard for windows."""
        frame = frames.DataFrame(stream, data=data)
        if end:
            frame.flags.add("END_STREAM")
        self.send(frame)

    def upload(self, stream, data, end=True):
        """DATA as far as the windows allow, waiting for them to open."""
        view = memoryview(data)
        while view and self.answers[stream].reset is None and not self.answers[stream].ended and not self.closed:
            room = min(self.connection_window, self.windows[stream], 16384, len(view))
            if room <= 0:
                self.step()
                continue
            self.connection_window -= room
            self.windows[stream] -= room
            self.data(stream, bytes(view[:room]))
            view = view[room:]
        if end and not view:
            self.data(stream, b"", end=True)

    # In.

    def step(self):
        """Takes one frame; False once the connection is closed."""
        frame = self.read_frame()
        if frame is None:
            self.closed = True
            return False
        answer = self.answers.get(frame.stream_id, Answer())
        if isinstance(frame, frames.SettingsFrame) and "ACK" not in frame.flags:
            self.settings.update(frame.settings)
            if 4 in frame.settings:
                for stream in self.windows:
                    self.windows[stream] += frame.settings[4] - self.initial_window
                self.initial_window = frame.settings[4]
            self.send(frames.SettingsFrame(0, flags=["ACK"]))
        elif isinstance(frame, frames.PingFrame) and "ACK" in frame.flags:
            self.pongs += 1
        elif isinstance(frame, frames.PingFrame):
            pong = frames.PingFrame(0, opaque_data=frame.opaque_data, flags=["ACK"])
            if self.acknowledges:
                self.send(pong)
            else:
                self.unanswered_pings.append(pong)
        elif isinstance(frame, frames.WindowUpdateFrame):
            if frame.stream_id == 0:
                self.connection_window += frame.window_increment
            else:
                self.windows[frame.stream_id] += frame.window_increment
        elif isinstance(frame, frames.HeadersFrame):
            self.take_fields(answer, self.read_block(frame))
        elif isinstance(frame, frames.DataFrame):
            answer.body += frame.data
            answer.pieces += 1
            if self.reads and frame.flow_controlled_length:
                updates = [frames.WindowUpdateFrame(0, window_increment=frame.flow_controlled_length)]
                if "END_STREAM" not in frame.flags:
                    updates.append(
                        frames.WindowUpdateFrame(frame.stream_id, window_increment=frame.flow_controlled_length)
                    )
                self.send(*updates)
        elif isinstance(frame, frames.RstStreamFrame):
            answer.reset = frame.error_code
        elif isinstance(frame, frames.GoAwayFrame):
            self.goaways.append((frame.error_code, frame.last_stream_id))
        answer.ended |= "END_STREAM" in frame.flags
        return True

    def take_fields(self, answer, fields):
        status = dict(fields).get(":status")
        if status is None:
            answer.trailers = fields
        elif status.startswith("1"):
            answer.interims.append((int(status), fields[1:]))
        else:
            answer.status, answer.fields = int(status), fields[1:]

    def answer(self, stream):
        """What came on the stream, once it ended, was reset, or the connection closed."""
        answer = self.answers[stream]
        while not (answer.ended or answer.reset is not None) and self.step():
            pass
        return answer

    def round_trip(self):
        """Whatever was sent before has been taken; False if the connection is closed."""
        before = self.pongs
        self.send(frames.PingFrame(0, opaque_data=b"roundtri"))
        while self.pongs == before:
            if not self.step():
                return False
        return True

    def until_closed(self):
        """Waits for the end of the connection; the code of its last GOAWAY, if there was one."""
        while self.step():
            pass
        return self.goaways[-1][0] if self.goaways else None
