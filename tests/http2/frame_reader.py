"""HTTP/2 as it comes, frame by frame: what a client and an upstream read alike."""

import hpack
import hyperframe.frame as frames

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class FrameReader:
    """Reads from `socket`. An end or a reset is None."""

    def __init__(self, socket):
        self.socket, self.decoder, self.input = socket, hpack.Decoder(), b""
        # The names of fields that came so that nobody keeps them in a table (RFC 7541 §6.2.3).
        self.never_indexed = set()

    def read_block(self, frame):
        """The fields of a block that begins with `frame`, with those that continue it."""
        block = bytes(frame.data)
        while "END_HEADERS" not in frame.flags:
            frame = self.read_frame()
            block += frame.data
        fields = self.decoder.decode(block)
        self.never_indexed |= {field[0] for field in fields if isinstance(field, hpack.NeverIndexedHeaderTuple)}
        return [(str(name), str(value)) for name, value in fields]

    def read_frame(self):
        head = self.read(9)
        if head is None:
            return None
        frame, length = frames.Frame.parse_frame_header(memoryview(head))
        body = self.read(length)
        if body is None:
            return None
        frame.parse_body(memoryview(body))
        return frame

    def read(self, length):
        while len(self.input) < length:
            try:
                received = self.socket.recv(65536)
            except ConnectionResetError:
                received = b""
            if not received:
                return None
            self.input += received
        taken, self.input = self.input[:length], self.input[length:]
        return taken
