//! A TCP proxy between a gateway and its PostgreSQL that does to connections what networks do.
//!
//! What the server says is passed on message by message, so that a message of one kind can be lost or be the one at
//! which the connection breaks. Every state that a test sets holds from when the call returns.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use super::Awaited;

/// The kind of message by which PostgreSQL passes a NOTIFY on.
pub(crate) const NOTIFICATION: u8 = b'A';
/// A row of an answer.
pub(crate) const ROW: u8 = b'D';

/// A running proxy; dropping it closes its port and all its connections.
pub(crate) struct TcpProxy {
    address: SocketAddr,
    /// Bound to the same port and deaf: while nobody listens, the port stays ours and connections are refused.
    _port: Socket,
    shared: Arc<Shared>,
    entrance: Mutex<Option<Entrance>>,
}

/// The listening half.
struct Entrance {
    is_closed: Arc<AtomicBool>,
    accepting: JoinHandle<()>,
}

struct Shared {
    server: SocketAddr,
    state: Awaited<State>,
}

#[derive(Default)]
struct State {
    rules: Rules,
    stopped: bool,
    links: Vec<Arc<Link>>,
    pumps: Vec<JoinHandle<()>>,
}

/// What becomes of bytes.
#[derive(Default, Clone)]
struct Rules {
    held: bool,
    swallowed: bool,
    delay: Duration,
    lost: Option<u8>,
    /// The kind, and how many of it there are when the connection breaks.
    cut_at: Option<(u8, usize)>,
    cut_after: Option<usize>,
    cut_at_statement: Option<&'static str>,
}

/// One connection of a client, and the one to the server that belongs to it.
struct Link {
    client: TcpStream,
    server: TcpStream,
    /// Bytes of it were swallowed: it can never speak again.
    is_lost: AtomicBool,
    is_cut: AtomicBool,
    from_client: AtomicUsize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    ToServer,
    ToClient,
}

impl TcpProxy {
    /// A proxy that passes everything on to `server`, on a port that the system chooses.
    pub(crate) fn before(server: SocketAddr) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let port = socket(any);
        let address = port.local_addr().unwrap().as_socket().unwrap();
        let proxy = Self {
            address,
            _port: port,
            shared: Arc::new(Shared { server, state: Awaited::default() }),
            entrance: Mutex::default(),
        };
        proxy.accept();
        proxy
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Breaks every connection with a reset. New ones are taken.
    pub(crate) fn cut(&self) {
        self.shared.state.change(|state| state.links.drain(..).for_each(|link| link.cut()));
    }

    /// Breaks every connection and refuses new ones, as a host does where nobody listens.
    pub(crate) fn refuse(&self) {
        if let Some(Entrance { is_closed, accepting }) = self.entrance.lock().unwrap().take() {
            is_closed.store(true, Ordering::Release);
            let _ = TcpStream::connect(self.address);
            accepting.join().unwrap();
        }
        self.cut();
    }

    /// Takes connections again.
    pub(crate) fn accept(&self) {
        let mut entrance = self.entrance.lock().unwrap();
        if entrance.is_none() {
            let listening = socket(self.address);
            listening.listen(128).unwrap();
            let is_closed = Arc::new(AtomicBool::new(false));
            let accepting = std::thread::spawn({
                let (shared, is_closed) = (Arc::clone(&self.shared), Arc::clone(&is_closed));
                move || shared.take_connections(&listening.into(), &is_closed)
            });
            *entrance = Some(Entrance { is_closed, accepting });
        }
    }

    /// Takes connections and bytes, and passes none on: also an end is not heard of. Connections that existed meanwhile
    /// are dead for good, as where a firewall has forgotten them.
    pub(crate) fn black_hole(&self) {
        self.rule(|rules| rules.swallowed = true);
        self.shared.state.change(|state| {
            state.links.iter().for_each(|link| link.is_lost.store(true, Ordering::Release));
        });
    }

    /// Keeps bytes back and passes them on later, as where a cable is out for a while.
    pub(crate) fn hold(&self) {
        self.rule(|rules| rules.held = true);
    }

    /// Passes every piece on so much later.
    pub(crate) fn delay(&self, delay: Duration) {
        self.rule(|rules| rules.delay = delay);
    }

    /// Loses every message of this kind that the server sends.
    pub(crate) fn lose(&self, kind: u8) {
        self.rule(|rules| rules.lost = Some(kind));
    }

    /// Breaks a connection with a reset instead of passing on a message of this kind from the server.
    pub(crate) fn cut_at(&self, kind: u8) {
        self.cut_at_nth(kind, 1);
    }

    /// Breaks a connection with a reset instead of passing on what would be its `count`th message of this kind, or more.
    pub(crate) fn cut_at_nth(&self, kind: u8, count: usize) {
        self.rule(|rules| rules.cut_at = Some((kind, count)));
    }

    /// Breaks a connection with a reset when its client has sent so many bytes; those reach the server.
    pub(crate) fn cut_after(&self, bytes: usize) {
        self.rule(|rules| rules.cut_after = Some(bytes));
    }

    /// Breaks a connection with a reset instead of passing a statement on that begins with these words.
    pub(crate) fn cut_at_statement(&self, words: &'static str) {
        self.rule(|rules| rules.cut_at_statement = Some(words));
    }

    /// Ends every rule: passes everything on at once.
    pub(crate) fn pass(&self) {
        self.rule(|rules| *rules = Rules::default());
        self.accept();
    }

    fn rule(&self, change: impl FnOnce(&mut Rules)) {
        self.shared.state.change(|state| change(&mut state.rules));
    }
}

impl Shared {
    fn take_connections(self: &Arc<Self>, listener: &TcpListener, is_closed: &AtomicBool) {
        for client in listener.incoming() {
            if is_closed.load(Ordering::Acquire) {
                return;
            }
            // Where the server is away, its clients are to see that.
            let Ok(client) = client else { continue };
            match TcpStream::connect(self.server) {
                Ok(server) => self.link(client, server),
                Err(_) => reset(&client),
            }
        }
    }

    fn link(self: &Arc<Self>, client: TcpStream, server: TcpStream) {
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        let link = Arc::new(Link {
            client,
            server,
            is_lost: AtomicBool::new(false),
            is_cut: AtomicBool::new(false),
            from_client: AtomicUsize::new(0),
        });
        let pump = |way| {
            let (shared, link) = (Arc::clone(self), Arc::clone(&link));
            std::thread::spawn(move || {
                // Where one side broke, the other hears of it.
                if shared.pump(&link, way).is_err() {
                    link.cut();
                }
                drop(link);
                shared.state.change(State::forget_ended);
            })
        };
        self.state.change(|state| {
            if state.stopped {
                return;
            }
            state.forget_ended();
            link.is_lost.store(state.rules.swallowed, Ordering::Release);
            state.links.push(Arc::clone(&link));
            state.pumps.extend([pump(Way::ToServer), pump(Way::ToClient)]);
        });
    }

    /// Passes bytes on one way, until either side ends.
    fn pump(&self, link: &Link, way: Way) -> io::Result<()> {
        let (mut from, mut to) = match way {
            Way::ToServer => (&link.client, &link.server),
            Way::ToClient => (&link.server, &link.client),
        };
        let mut messages = Messages { begun: Vec::new(), counts: [0; 256] };
        let mut piece = vec![0; 65_536];
        loop {
            let length = from.read(&mut piece)?;
            let rules = self.rules_when_passing();
            if link.is_cut.load(Ordering::Acquire) {
                return Ok(());
            }
            if link.is_lost.load(Ordering::Acquire) {
                // Neither side hears that the other has ended.
                if length == 0 {
                    return Ok(());
                }
                continue;
            }
            std::thread::sleep(rules.delay);
            let passed = match way {
                Way::ToServer => link.asked(&piece[..length], &rules),
                Way::ToClient => messages.take(&piece[..length], &rules),
            };
            to.write_all(&passed.bytes)?;
            if passed.is_last {
                link.cut();
                return Ok(());
            }
            if length == 0 {
                return to.shutdown(Shutdown::Write);
            }
        }
    }

    fn rules_when_passing(&self) -> Rules {
        self.state.until("bytes to be passed on", |state| {
            (!state.rules.held || state.stopped).then(|| state.rules.clone())
        })
    }
}

impl Link {
    /// Ends both halves with a reset, which is sent when both pumps have let go.
    fn cut(&self) {
        self.is_cut.store(true, Ordering::Release);
        for side in [&self.client, &self.server] {
            let _ = SockRef::from(side).set_linger(Some(Duration::ZERO));
            let _ = side.shutdown(Shutdown::Read);
        }
    }

    /// What of `bytes` the client may still send.
    fn asked(&self, bytes: &[u8], rules: &Rules) -> Passed {
        let limit = rules.cut_after;
        if rules.cut_at_statement.is_some_and(|words| contains(bytes, words)) {
            return Passed { bytes: Vec::new(), is_last: true };
        }
        let before = self.from_client.fetch_add(bytes.len(), Ordering::Relaxed);
        let left = limit.map_or(bytes.len(), |limit| limit.saturating_sub(before).min(bytes.len()));
        Passed {
            bytes: bytes[..left].to_vec(),
            is_last: limit.is_some_and(|limit| before + bytes.len() >= limit),
        }
    }
}

impl State {
    /// Lets go of connections of which both ways have ended.
    fn forget_ended(&mut self) {
        self.links.retain(|link| Arc::strong_count(link) > 1 && !link.is_cut.load(Ordering::Acquire));
        self.pumps.retain(|pump| !pump.is_finished());
    }
}

/// What is passed on, and whether the connection breaks then.
struct Passed {
    bytes: Vec<u8>,
    is_last: bool,
}

/// What a PostgreSQL server says: a byte for the kind, four for the length (with themselves), and the content.
struct Messages {
    /// Not whole yet.
    begun: Vec<u8>,
    /// How many there were of each kind.
    counts: [usize; 256],
}

impl Messages {
    /// The messages that are whole with `bytes`.
    fn take(&mut self, bytes: &[u8], rules: &Rules) -> Passed {
        self.begun.extend_from_slice(bytes);
        let mut passed = Passed { bytes: Vec::new(), is_last: false };
        while let Some(message) = self.next() {
            let kind = message[0];
            self.counts[usize::from(kind)] += 1;
            if rules.cut_at.is_some_and(|(of, count)| of == kind && self.counts[usize::from(kind)] >= count) {
                passed.is_last = true;
                break;
            }
            if Some(kind) != rules.lost {
                passed.bytes.extend(message);
            }
        }
        passed
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        let length = u32::from_be_bytes(self.begun.get(1..5)?.try_into().ok()?) as usize + 1;
        (self.begun.len() >= length).then(|| self.begun.drain(..length).collect())
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.shared.state.change(|state| state.stopped = true);
        self.refuse();
        let pumps = self.shared.state.change(|state| std::mem::take(&mut state.pumps));
        for pump in pumps {
            let _ = pump.join();
        }
    }
}

fn contains(bytes: &[u8], words: &str) -> bool {
    bytes.windows(words.len()).any(|window| window == words.as_bytes())
}

fn socket(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&SockAddr::from(address)).unwrap();
    socket
}

fn reset(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}
