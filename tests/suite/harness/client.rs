//! A client that sends exactly the bytes it is told to.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};

use super::message::MessageReader;
use super::{Framing, GUARD, Message};

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    reader: MessageReader<'static>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, GUARD).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(GUARD)).unwrap();
        stream.set_write_timeout(Some(GUARD)).unwrap();
        Self { reader: MessageReader::new(stream.try_clone().unwrap(), |_| {}), stream }
    }

    /// Sends bytes in one write. The peer may have gone: what it answered before that is still there to read.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.stream.write_all(bytes.as_ref());
        self
    }

    /// Sends one request and reads its answer.
    pub(crate) fn exchange(&mut self, request: impl AsRef<[u8]>) -> Message {
        let framing =
            if request.as_ref().starts_with(b"HEAD ") { Framing::ResponseToHead } else { Framing::Response };
        self.send(request).response_framed(framing)
    }

    /// The next answer, interim ones (1xx) among them.
    pub(crate) fn response(&mut self) -> Message {
        self.response_framed(Framing::Response)
    }

    /// The next answer, if the connection does not end (or break) before its first byte.
    pub(crate) fn try_response(&mut self) -> Option<Message> {
        match self.reader.message(Framing::Response) {
            Ok(message) => message,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("no answer: {error}"),
        }
    }

    /// The next head of an answer, as soon as it is there; its body is for [`Client::take`].
    pub(crate) fn response_head(&mut self) -> Message {
        self.reader.head().unwrap().expect("the connection ended without an answer")
    }

    /// The next `length` bytes, as soon as they are there; fewer only where the connection ends.
    pub(crate) fn take(&mut self, length: usize) -> Vec<u8> {
        self.reader.up_to(length).unwrap()
    }

    /// Everything until the peer closes.
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        self.reader.rest().unwrap()
    }

    /// Waits until the peer closes, and fails if it sends a byte before.
    pub(crate) fn expect_close(&mut self) {
        let rest = self.read_to_end();
        assert!(rest.is_empty(), "bytes before the close: {}", String::from_utf8_lossy(&rest));
    }

    /// Says that nothing more will be sent, and still reads.
    pub(crate) fn finish_sending(&mut self) -> &mut Self {
        let _ = self.stream.shutdown(Shutdown::Write);
        self
    }

    fn response_framed(&mut self, framing: Framing) -> Message {
        self.reader.message(framing).unwrap().expect("the connection ended without an answer")
    }
}
