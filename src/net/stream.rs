//! One connection, cleartext or TLS, over TCP or a Unix socket; the same type towards clients and upstreams.

use std::io;
use std::io::IoSlice;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::path::Path;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsStream;

/// A connected byte stream.
///
/// Cost over the bare socket: one branch per call; the TLS state is boxed, so a cleartext stream stays small.
#[derive(Debug)]
pub enum Stream {
    /// Cleartext.
    Clear(Socket),
    /// TLS after its handshake, as server or as client.
    Tls(Box<TlsStream<Socket>>),
}

/// The transport under a [`Stream`].
#[derive(Debug)]
pub enum Socket {
    /// TCP, with `TCP_NODELAY` set.
    Tcp(TcpStream),
    /// A Unix stream socket.
    Unix(UnixStream),
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and a port; IPv4-mapped IPv6 addresses are already written as IPv4.
    Ip(SocketAddr),
    /// A Unix socket.
    Unix,
}

impl Stream {
    /// Connects over TCP, with `TCP_NODELAY` set.
    ///
    /// # Errors
    /// Those of `connect(2)`; the timeout is the caller's.
    pub async fn connect_tcp(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self::Clear(Socket::Tcp(stream)))
    }

    /// Connects to a Unix socket.
    ///
    /// # Errors
    /// Those of `connect(2)`; the timeout is the caller's.
    pub async fn connect_unix(path: &Path) -> io::Result<Self> {
        Ok(Self::Clear(Socket::Unix(UnixStream::connect(path).await?)))
    }

    /// The address of the other end. Cost: one system call; listeners report it with the accepted stream for free.
    ///
    /// # Errors
    /// When the socket is no longer connected.
    pub fn peer_address(&self) -> io::Result<Address> {
        match self.socket() {
            Socket::Tcp(tcp) => Ok(Address::from(tcp.peer_addr()?)),
            Socket::Unix(_) => Ok(Address::Unix),
        }
    }

    /// The address of our end. Cost: one system call.
    ///
    /// # Errors
    /// Those of `getsockname(2)`.
    pub fn local_address(&self) -> io::Result<Address> {
        match self.socket() {
            Socket::Tcp(tcp) => Ok(Address::from(tcp.local_addr()?)),
            Socket::Unix(_) => Ok(Address::Unix),
        }
    }

    /// Whether the bytes are encrypted on this hop.
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// The application protocol both ends agreed on (RFC 7301), such as `h2`; `None` in cleartext.
    pub fn alpn(&self) -> Option<&[u8]> {
        match self {
            Self::Clear(_) => None,
            Self::Tls(tls) => tls.get_ref().1.alpn_protocol(),
        }
    }

    /// The server name a TLS client asked for (RFC 6066 §3), lower case; `None` in cleartext and towards upstreams.
    pub fn server_name(&self) -> Option<&str> {
        match self {
            Self::Tls(tls) => match tls.as_ref() {
                TlsStream::Server(server) => server.get_ref().1.server_name(),
                TlsStream::Client(_) => None,
            },
            Self::Clear(_) => None,
        }
    }

    /// Whether an idle pooled upstream connection may carry another request.
    ///
    /// False after an EOF or an error, and when any byte waits: nobody asked for it (security.md, rule 10). Never
    /// blocks. Cost in cleartext: no system call while the runtime has seen nothing arrive; what arrived since the
    /// runtime last polled its driver is not seen, so a retry of a request that failed at once stays necessary.
    /// A waiting byte may be consumed: drop the stream when this says false.
    pub fn is_reusable(&mut self) -> bool {
        match self {
            Self::Clear(socket) => socket.is_silent(),
            Self::Tls(tls) => is_silent(tls.as_mut()),
        }
    }

    /// Whether the system holds no byte and no end for us at this instant, whatever the runtime has seen of it; over TLS,
    /// what [`Stream::is_reusable`] says. Cost: one system call in cleartext.
    pub fn is_silent_now(&self) -> bool {
        let peek = |socket: std::os::fd::BorrowedFd<'_>| {
            rustix::net::recv(socket, &mut [0u8; 1][..], RecvFlags::PEEK | RecvFlags::DONTWAIT)
        };
        let peeked = match self {
            Self::Clear(Socket::Tcp(tcp)) => peek(tcp.as_fd()),
            Self::Clear(Socket::Unix(unix)) => peek(unix.as_fd()),
            Self::Tls(_) => return true,
        };
        matches!(peeked, Err(rustix::io::Errno::AGAIN))
    }

    /// Lets the connection end by a reset instead of an end of stream when it is dropped, so that whoever reads until
    /// the end knows that it was cut short.
    pub fn reset_on_drop(&self) {
        if let Socket::Tcp(tcp) = self.socket() {
            // Where it cannot be set, the connection ends as any other.
            let _ = socket2::SockRef::from(tcp).set_linger(Some(std::time::Duration::ZERO));
        }
    }

    fn socket(&self) -> &Socket {
        match self {
            Self::Clear(socket) => socket,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }
}

impl Socket {
    fn is_silent(&self) -> bool {
        // Not `poll_read`: an exhausted task budget would answer Pending, which would read as "alive".
        let outcome = match self {
            Self::Tcp(tcp) => tcp.try_read(&mut [0]),
            Self::Unix(unix) => unix.try_read(&mut [0]),
        };
        matches!(outcome, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// Records that carry no data (TLS 1.3 session tickets) are processed on the way and leave the stream silent.
fn is_silent<S: AsyncRead + Unpin>(stream: &mut S) -> bool {
    let mut byte = [0];
    let mut buffer = ReadBuf::new(&mut byte);
    let read = std::future::poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut buffer));
    // Outside the task budget, for the reason given above.
    let read = pin!(tokio::task::coop::unconstrained(read));
    read.poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

impl Address {
    /// The IP address that stands for this end; a Unix peer is on this machine, so it counts as `127.0.0.1`.
    pub fn ip(self) -> IpAddr {
        match self {
            Self::Ip(address) => address.ip(),
            Self::Unix => IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}

/// Forwards both IO traits to the variant in hand.
macro_rules! forward_io {
    ($type:ty, $a:ident, $b:ident) => {
        impl AsyncRead for $type {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    Self::$a(io) => Pin::new(io).poll_read(cx, buffer),
                    Self::$b(io) => Pin::new(io).poll_read(cx, buffer),
                }
            }
        }

        impl AsyncWrite for $type {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                match self.get_mut() {
                    Self::$a(io) => Pin::new(io).poll_write(cx, bytes),
                    Self::$b(io) => Pin::new(io).poll_write(cx, bytes),
                }
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                slices: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                match self.get_mut() {
                    Self::$a(io) => Pin::new(io).poll_write_vectored(cx, slices),
                    Self::$b(io) => Pin::new(io).poll_write_vectored(cx, slices),
                }
            }

            fn is_write_vectored(&self) -> bool {
                match self {
                    Self::$a(io) => io.is_write_vectored(),
                    Self::$b(io) => io.is_write_vectored(),
                }
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    Self::$a(io) => Pin::new(io).poll_flush(cx),
                    Self::$b(io) => Pin::new(io).poll_flush(cx),
                }
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    Self::$a(io) => Pin::new(io).poll_shutdown(cx),
                    Self::$b(io) => Pin::new(io).poll_shutdown(cx),
                }
            }
        }
    };
}

forward_io!(Stream, Clear, Tls);
forward_io!(Socket, Tcp, Unix);
