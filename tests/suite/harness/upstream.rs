//! An upstream that keeps every byte it gets, and says whatever the test makes it say.

use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::message::MessageReader;
use super::{Awaited, Framing, GUARD, Latch, Message};

/// A running upstream; dropping it closes its port and all its connections.
pub(crate) struct Upstream {
    address: SocketAddr,
    record: Arc<Awaited<Record>>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Record {
    connections: Vec<Connection>,
    requests: Vec<Message>,
    stopped: bool,
}

struct Connection {
    /// None once both sides have closed.
    stream: Option<TcpStream>,
    received: Vec<u8>,
}

/// What a script is given: one connection of a client.
pub(crate) struct Talk {
    stream: TcpStream,
    reader: MessageReader<'static>,
    record: Arc<Awaited<Record>>,
}

impl Upstream {
    /// Starts an upstream that runs `script` on a thread for each connection. When it returns (or fails, since
    /// the peer has gone) the upstream says that it is done, and keeps what still comes until the peer closes too.
    pub(crate) fn start(script: impl Fn(&mut Talk) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let record = Arc::new(Awaited::default());
        let accepting = std::thread::spawn({
            let record = Arc::clone(&record);
            move || accept(&listener, &record, &Arc::new(script))
        });
        Self { address, record, accepting: Some(accepting) }
    }

    /// Starts an upstream that gives every request, once it is whole, the same answer on a connection that stays open.
    pub(crate) fn answering(response: impl Into<Vec<u8>>) -> Self {
        let response = response.into();
        Self::start(move |talk| {
            while talk.request()?.is_some() {
                talk.send(&response)?;
            }
            Ok(())
        })
    }

    /// Starts an upstream that answers as [`Upstream::answering`] does, but nobody before the latch is open.
    pub(crate) fn held(response: impl Into<Vec<u8>>) -> (Self, Latch) {
        let (response, go) = (response.into(), Latch::default());
        let upstream = Self::start({
            let go = go.clone();
            move |talk| {
                while talk.request()?.is_some() {
                    go.wait();
                    talk.send(&response)?;
                }
                Ok(())
            }
        });
        (upstream, go)
    }

    /// Starts an upstream whose `/any/stream` begins a chunked answer and never ends it, whose `/ws` becomes a WebSocket, and
    /// which answers all else as [`Upstream::answering`] does.
    pub(crate) fn with_streams(response: impl Into<Vec<u8>>) -> Self {
        let response = response.into();
        Self::start(move |talk| {
            while let Some(request) = talk.request()? {
                match request.target() {
                    "/any/stream" => {
                        talk.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")?;
                        talk.rest()?;
                    }
                    "/ws" => {
                        talk.send(
                            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                             Sec-WebSocket-Accept: x\r\n\r\n",
                        )?;
                        talk.rest()?;
                    }
                    _ => talk.send(&response)?,
                }
            }
            Ok(())
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://…`, for a configuration.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The whole requests so far, in the order in which they were whole.
    pub(crate) fn requests(&self) -> Vec<Message> {
        self.record.read(|record| record.requests.clone())
    }

    /// Waits until there were `count` whole requests.
    pub(crate) fn wait_for_requests(&self, count: usize) -> Vec<Message> {
        let enough = |record: &Record| (record.requests.len() >= count).then(|| record.requests.clone());
        self.record.until(&format!("{count} requests"), enough)
    }

    /// Every byte that came on each connection, in the order in which they were opened.
    pub(crate) fn received(&self) -> Vec<Vec<u8>> {
        self.record.read(|record| record.connections.iter().map(|one| one.received.clone()).collect())
    }

    /// Waits until `found` finds something in what the connections received, as [`Upstream::received`] gives it.
    pub(crate) fn wait_until_received<R>(&self, what: &str, found: impl Fn(&[Vec<u8>]) -> Option<R>) -> R {
        let bytes =
            |record: &Record| record.connections.iter().map(|one| one.received.clone()).collect::<Vec<_>>();
        self.record.until(what, |record| found(&bytes(record)))
    }

    /// Waits until there were `count` connections and all have ended.
    pub(crate) fn wait_for_ends(&self, count: usize) {
        let ended = |record: &Record| {
            record.connections.len() >= count && record.connections.iter().all(|one| one.stream.is_none())
        };
        self.record.until(&format!("the end of {count} connections"), |record| ended(record).then_some(()));
    }
}

impl Talk {
    /// Reads the next request to its end and records it; `None` where the client closed instead.
    pub(crate) fn request(&mut self) -> io::Result<Option<Message>> {
        let Some(mut request) = self.head()? else { return Ok(None) };
        self.body(&mut request)?;
        Ok(request.complete.then_some(request))
    }

    /// Reads the head of the next request; nothing is recorded among the requests until [`Talk::body`].
    pub(crate) fn head(&mut self) -> io::Result<Option<Message>> {
        Ok(self.reader.head()?.filter(|head| head.complete))
    }

    /// Reads the body that follows a head, and records the request if it is whole.
    pub(crate) fn body(&mut self, request: &mut Message) -> io::Result<()> {
        self.reader.body(request, Framing::Request)?;
        if request.complete {
            self.record.change(|record| record.requests.push(request.clone()));
        }
        Ok(())
    }

    /// The next `length` bytes, whatever they are; fewer only where the client closes.
    pub(crate) fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        self.reader.up_to(length)
    }

    /// Everything until the client closes.
    pub(crate) fn rest(&mut self) -> io::Result<Vec<u8>> {
        self.reader.rest()
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Makes the connection end with a reset when the script returns, as that of a crashed server would.
    pub(crate) fn reset(&mut self) -> io::Result<()> {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))
    }

    fn is_reset(&self) -> bool {
        socket2::SockRef::from(&self.stream).linger().is_ok_and(|linger| linger == Some(Duration::ZERO))
    }
}

fn accept<S>(listener: &TcpListener, record: &Arc<Awaited<Record>>, script: &Arc<S>)
where
    S: Fn(&mut Talk) -> io::Result<()> + Send + Sync + 'static,
{
    let mut talks = Vec::new();
    for stream in listener.incoming() {
        let stream = stream.unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(GUARD)).unwrap();
        let Some(number) = record.change(|record| record.open(&stream)) else { break };
        let (record, script) = (Arc::clone(record), Arc::clone(script));
        talks.push(std::thread::spawn(move || converse(stream, number, &record, &*script)));
    }
    for talk in talks {
        let _ = talk.join();
    }
}

fn converse(
    stream: TcpStream,
    number: usize,
    record: &Arc<Awaited<Record>>,
    script: &dyn Fn(&mut Talk) -> io::Result<()>,
) {
    let tap = {
        let record = Arc::clone(record);
        move |bytes: &[u8]| {
            record.change(|record| record.connections[number].received.extend_from_slice(bytes));
        }
    };
    let mut talk = Talk {
        reader: MessageReader::new(stream.try_clone().unwrap(), tap),
        stream,
        record: Arc::clone(record),
    };
    let _ = script(&mut talk);
    if !talk.is_reset() {
        let _ = talk.stream.shutdown(Shutdown::Write);
        let _ = talk.rest();
    }
    drop(talk);
    record.change(|record| record.connections[number].stream = None);
}

impl Record {
    /// The number of a new connection, unless the upstream has stopped.
    fn open(&mut self, stream: &TcpStream) -> Option<usize> {
        if self.stopped {
            return None;
        }
        self.connections.push(Connection { stream: Some(stream.try_clone().unwrap()), received: Vec::new() });
        Some(self.connections.len() - 1)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.record.change(|record| {
            record.stopped = true;
            for stream in record.connections.iter().filter_map(|one| one.stream.as_ref()) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        });
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}
