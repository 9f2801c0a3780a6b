//! Listening sockets: bound once for the whole process, then one per worker.
//!
//! **TCP.** Every worker has its own socket of one `SO_REUSEPORT` group, and the kernel spreads connections over
//! them. That option would also let a forgotten older gateway of the same user keep half the traffic, so the first
//! socket is bound *and listens* without it, which the kernel refuses while anybody else listens there. Only then is
//! the option set on it, and the others join its group: Linux compares the options of the living sockets when it
//! binds, not those the first had when it was bound. The port is never released in between, so two gateways that
//! start at once cannot both pass either. What remains: a program of the same user that binds with `SO_REUSEPORT`
//! itself can still join; only its own probe could tell.
//!
//! **Unix.** All workers share one descriptor. A connection wakes all of them and one gets it.

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, TcpKeepalive, Type};

use super::stream::{Address, Socket, Stream};
pub use crate::config::ListenAddress;

/// Connections that may wait in the accept queue of one socket; the kernel caps it at `net.core.somaxconn`.
pub const BACKLOG: i32 = 4096;

/// How long to leave the accept queue alone when descriptors or memory ran out.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// Shortest time between two log lines about failing accepts.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Where and how to listen.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// The address.
    pub address: ListenAddress,
    /// Permission bits of a Unix socket file; whoever may write to it may connect. Unused for TCP.
    pub unix_mode: u32,
    /// How many sockets to make, one for each worker.
    pub workers: NonZeroUsize,
}

/// An address that is ours, with one socket for each worker.
#[derive(Debug)]
pub struct Bound {
    /// The address in force; a port 0 has become the one the system chose.
    pub address: ListenAddress,
    /// One for each worker, to be sent to its thread.
    pub sockets: Vec<ListeningSocket>,
}

/// A listening socket on its way to its worker.
#[derive(Debug)]
pub struct ListeningSocket(Kind<std::net::TcpListener, std::os::unix::net::UnixListener>);

#[derive(Debug)]
enum Kind<T, U> {
    Tcp(T),
    Unix(U, Arc<SocketFile>),
}

/// Why an address could not be taken. `Display` says it with the address and the remedy.
#[derive(Debug)]
pub struct BindProblem {
    /// The address that was asked for.
    pub address: ListenAddress,
    /// What is in the way.
    pub cause: BindCause,
}

/// What is in the way of listening.
#[derive(Debug)]
pub enum BindCause {
    /// Another socket listens there already.
    AddressInUse,
    /// This machine has no such address.
    NoSuchAddress,
    /// The user of this process may not listen there.
    NotPermitted,
    /// The path is taken by something that is no socket; it is left alone.
    NotASocket,
    /// Anything else the system says.
    Io(io::Error),
}

/// Takes the address for the whole process and starts to listen, so that connections queue from here on.
///
/// # Errors
/// [`BindProblem`]; nothing stays bound then.
pub fn bind(options: &ListenOptions) -> Result<Bound, BindProblem> {
    let bound = match &options.address {
        ListenAddress::Tcp(address) => bind_tcp(*address, options.workers),
        ListenAddress::Unix(path) => bind_unix(path, options.unix_mode, options.workers),
    };
    bound.map_err(|cause| BindProblem { address: options.address.clone(), cause })
}

fn bind_tcp(address: SocketAddr, workers: NonZeroUsize) -> Result<Bound, BindCause> {
    let first = tcp_socket(address)?;
    first.bind(&address.into())?;
    first.listen(BACKLOG)?;
    first.set_reuse_port(true)?;
    let first = std::net::TcpListener::from(first);
    let address = first.local_addr()?;
    let mut sockets = vec![ListeningSocket(Kind::Tcp(first))];
    for _ in 1..workers.get() {
        let next = tcp_socket(address)?;
        next.set_reuse_port(true)?;
        next.bind(&address.into())?;
        next.listen(BACKLOG)?;
        sockets.push(ListeningSocket(Kind::Tcp(next.into())));
    }
    Ok(Bound { address: ListenAddress::Tcp(address), sockets })
}

/// Accepted connections inherit `TCP_NODELAY` and keep-alive on Linux, which saves their system calls.
/// Keep-alive ends streams without a timeout (WebSocket, event streams) whose peer vanished.
fn tcp_socket(address: SocketAddr) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.ip().is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_tcp_nodelay(true)?;
    let keepalive =
        TcpKeepalive::new().with_time(Duration::from_mins(2)).with_interval(Duration::from_secs(30));
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Two gateways that find the same stale file at once can both take it for dead; the later one then has the path,
/// and the earlier one keeps a socket that nobody reaches. A supervisor must not start two on one path.
fn bind_unix(path: &Path, mode: u32, workers: NonZeroUsize) -> Result<Bound, BindCause> {
    remove_stale(path)?;
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = Arc::new(SocketFile::of(path)?);
    // Before `listen`, so that nobody connects under the wider mode of the umask.
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    socket.listen(BACKLOG)?;
    let shared = std::os::unix::net::UnixListener::from(socket);
    let mut sockets = Vec::with_capacity(workers.get());
    for _ in 1..workers.get() {
        sockets.push(ListeningSocket(Kind::Unix(shared.try_clone()?, Arc::clone(&file))));
    }
    sockets.push(ListeningSocket(Kind::Unix(shared, file)));
    Ok(Bound { address: ListenAddress::Unix(path.to_owned()), sockets })
}

/// Removes the socket file of a process that is gone; refuses when someone answers or when it is no socket.
fn remove_stale(path: &Path) -> Result<(), BindCause> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if !metadata.file_type().is_socket() {
        return Err(BindCause::NotASocket);
    }
    // Non-blocking: a live listener with a full queue answers WouldBlock at once instead of holding up the start.
    let probe = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    probe.set_nonblocking(true)?;
    match probe.connect(&SockAddr::unix(path)?) {
        Ok(()) => Err(BindCause::AddressInUse),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(BindCause::AddressInUse),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(fs::remove_file(path)?),
        Err(error) => Err(error.into()),
    }
}

/// Our socket file; unlinked when the last worker lets go, unless someone else has taken the path since.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), device: metadata.dev(), inode: metadata.ino() })
    }

    fn unlink(&self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| found.dev() == self.device && found.ino() == self.inode);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the socket file");
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        self.unlink();
    }
}

impl ListeningSocket {
    /// Registers the socket with the runtime of the calling worker.
    ///
    /// # Errors
    /// Those of `epoll_ctl(2)`.
    ///
    /// # Panics
    /// Outside a tokio runtime with IO enabled.
    pub fn into_listener(self) -> io::Result<Listener> {
        let kind = match self.0 {
            Kind::Tcp(tcp) => Kind::Tcp(tokio::net::TcpListener::from_std(tcp)?),
            Kind::Unix(unix, file) => Kind::Unix(tokio::net::UnixListener::from_std(unix)?, file),
        };
        Ok(Listener { kind, complaints: Complaints::default() })
    }
}

/// The listening socket of one worker.
#[derive(Debug)]
pub struct Listener {
    kind: Kind<tokio::net::TcpListener, tokio::net::UnixListener>,
    complaints: Complaints,
}

/// A new connection and who opened it.
#[derive(Debug)]
pub struct Accepted {
    /// The connection, in cleartext so far.
    pub stream: Stream,
    /// The other end.
    pub peer: Address,
}

impl Listener {
    /// Waits for the next connection; cancelling loses none.
    ///
    /// Survives everything `accept(2)` can say: a connection that died in the queue is skipped, and when descriptors
    /// or memory run out it pauses 50 ms at a time, logging at most once a second, until some are free again.
    pub async fn accept(&mut self) -> Accepted {
        loop {
            let error = match self.try_accept().await {
                Ok(accepted) => return accepted,
                Err(error) => error,
            };
            match after_failure(&error) {
                AfterFailure::Next => {}
                AfterFailure::Pause => {
                    self.complaints.complain(&error);
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                }
            }
        }
    }

    async fn try_accept(&self) -> io::Result<Accepted> {
        match &self.kind {
            Kind::Tcp(tcp) => {
                let (stream, peer) = tcp.accept().await?;
                Ok(Accepted { stream: Stream::Clear(Socket::Tcp(stream)), peer: peer.into() })
            }
            Kind::Unix(unix, _) => {
                let (stream, _) = unix.accept().await?;
                Ok(Accepted { stream: Stream::Clear(Socket::Unix(stream)), peer: Address::Unix })
            }
        }
    }

    /// Stops listening, and yields the connections that had queued until then; the socket is closed when the iterator
    /// ends or is dropped. Closing at once would reset them.
    ///
    /// A Unix path disappears first, so nothing is lost there. On TCP a connection whose handshake ends between the
    /// last empty look and the close (microseconds) is still reset: take the gateway out of rotation first.
    /// Yields at most two backlogs, so that a flood cannot hold the process.
    ///
    /// # Errors
    /// When the runtime cannot let go of the socket.
    pub fn drain(self) -> io::Result<Queued> {
        let kind = match self.kind {
            Kind::Tcp(tcp) => Kind::Tcp(tcp.into_std()?),
            Kind::Unix(unix, file) => {
                file.unlink();
                Kind::Unix(unix.into_std()?, file)
            }
        };
        Ok(Queued { kind, left: 2 * BACKLOG })
    }
}

/// The connections that waited when a [`Listener`] stopped.
#[derive(Debug)]
pub struct Queued {
    kind: Kind<std::net::TcpListener, std::os::unix::net::UnixListener>,
    left: i32,
}

impl Iterator for Queued {
    type Item = Accepted;

    fn next(&mut self) -> Option<Accepted> {
        while self.left > 0 {
            self.left -= 1;
            match self.accept_now() {
                Ok(accepted) => return Some(accepted),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) => match after_failure(&error) {
                    AfterFailure::Next => {}
                    AfterFailure::Pause => {
                        tracing::warn!(%error, "queued connections are lost at shutdown");
                        return None;
                    }
                },
            }
        }
        None
    }
}

impl Queued {
    /// Asks the kernel itself: the runtime's memory of readiness may be older than the newest connection.
    fn accept_now(&self) -> io::Result<Accepted> {
        match &self.kind {
            Kind::Tcp(tcp) => {
                let (stream, peer) = tcp.accept()?;
                stream.set_nonblocking(true)?;
                let stream = tokio::net::TcpStream::from_std(stream)?;
                Ok(Accepted { stream: Stream::Clear(Socket::Tcp(stream)), peer: peer.into() })
            }
            Kind::Unix(unix, _) => {
                let (stream, _) = unix.accept()?;
                stream.set_nonblocking(true)?;
                let stream = tokio::net::UnixStream::from_std(stream)?;
                Ok(Accepted { stream: Stream::Clear(Socket::Unix(stream)), peer: Address::Unix })
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AfterFailure {
    /// The failure took its connection out of the queue; go on.
    Next,
    /// The connection still waits and the next try would fail alike.
    Pause,
}

/// accept(2): errors of the new connection come through `accept` and are to be treated like `EAGAIN`.
fn after_failure(error: &io::Error) -> AfterFailure {
    use rustix::io::Errno;
    const OF_THE_CONNECTION: [Errno; 11] = [
        Errno::CONNABORTED,
        Errno::INTR,
        Errno::PERM,
        Errno::PROTO,
        Errno::NETDOWN,
        Errno::NOPROTOOPT,
        Errno::HOSTDOWN,
        Errno::NONET,
        Errno::HOSTUNREACH,
        Errno::NETUNREACH,
        Errno::CONNRESET,
    ];
    match Errno::from_io_error(error) {
        Some(errno) if OF_THE_CONNECTION.contains(&errno) => AfterFailure::Next,
        Some(_) | None => AfterFailure::Pause,
    }
}

/// Says that accepting fails, and how often, without filling the disk.
#[derive(Debug, Default)]
struct Complaints {
    last: Option<Instant>,
    unsaid: u64,
}

impl Complaints {
    fn complain(&mut self, error: &io::Error) {
        self.unsaid += 1;
        if self.last.is_some_and(|last| last.elapsed() < LOG_INTERVAL) {
            return;
        }
        tracing::warn!(%error, failures = self.unsaid, "cannot accept connections; they wait in the queue");
        self.last = Some(Instant::now());
        self.unsaid = 0;
    }
}

impl From<io::Error> for BindCause {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::AddressInUse,
            io::ErrorKind::AddrNotAvailable => Self::NoSuchAddress,
            io::ErrorKind::PermissionDenied => Self::NotPermitted,
            _ => Self::Io(error),
        }
    }
}

impl fmt::Display for BindProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = &self.address;
        match &self.cause {
            BindCause::AddressInUse => write!(
                f,
                "address in use: {address} is held by another process; stop it (an older keygate?) or listen elsewhere"
            ),
            BindCause::NoSuchAddress => {
                write!(
                    f,
                    "no such address: {address} does not belong to this machine; 0.0.0.0 or [::] takes all"
                )
            }
            BindCause::NotPermitted => write!(
                f,
                "not permitted: this user may not listen on {address}; ports below 1024 need CAP_NET_BIND_SERVICE, a Unix socket a writable folder"
            ),
            BindCause::NotASocket => {
                write!(f, "{address}: the path exists and is no socket; remove it or choose another")
            }
            BindCause::Io(error) => write!(f, "cannot listen on {address}: {error}"),
        }
    }
}

impl std::error::Error for BindProblem {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            BindCause::Io(error) => Some(error),
            BindCause::AddressInUse
            | BindCause::NoSuchAddress
            | BindCause::NotPermitted
            | BindCause::NotASocket => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failures_that_leave_the_connection_queued_pause() {
        use rustix::io::Errno;
        for (errno, expected) in [
            (Errno::CONNABORTED, AfterFailure::Next),
            (Errno::INTR, AfterFailure::Next),
            (Errno::HOSTUNREACH, AfterFailure::Next),
            (Errno::MFILE, AfterFailure::Pause),
            (Errno::NFILE, AfterFailure::Pause),
            (Errno::NOBUFS, AfterFailure::Pause),
            (Errno::NOMEM, AfterFailure::Pause),
            (Errno::BADF, AfterFailure::Pause),
        ] {
            assert_eq!(after_failure(&errno.into()), expected, "{errno}");
        }
    }
}
