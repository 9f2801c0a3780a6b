//! Listeners, streams, TLS and drain over real loopback sockets with ports that the system chooses.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use keygate::net::listener::{Accepted, BindCause, Bound, ListenAddress, ListenOptions, bind};
use keygate::net::stream::{Address, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn options(address: ListenAddress, workers: usize) -> ListenOptions {
    ListenOptions { address, unix_mode: 0o660, workers: NonZeroUsize::new(workers).unwrap() }
}

fn bind_loopback(workers: usize) -> (Bound, SocketAddr) {
    let bound = bind(&options("127.0.0.1:0".parse().unwrap(), workers)).unwrap();
    let ListenAddress::Tcp(address) = bound.address else { panic!("asked for TCP") };
    (bound, address)
}

fn bind_at(path: &Path, workers: usize) -> Result<Bound, BindCause> {
    bind(&options(ListenAddress::Unix(path.to_owned()), workers)).map_err(|problem| problem.cause)
}

fn socket_path() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keygate.sock");
    (folder, path)
}

/// Both ends of a TCP connection.
pub(crate) async fn tcp_pair() -> (Stream, Stream) {
    let (bound, address) = bind_loopback(1);
    let mut listener = bound.sockets.into_iter().next().unwrap().into_listener().unwrap();
    let (client, accepted) = tokio::join!(Stream::connect_tcp(address), listener.accept());
    (client.unwrap(), accepted.stream)
}

#[tokio::test]
async fn the_workers_of_one_address_share_its_connections() {
    let (bound, address) = bind_loopback(3);
    assert_ne!(address.port(), 0);
    let clients: Vec<_> = (0..300).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
    let shares: Vec<usize> = bound
        .sockets
        .into_iter()
        .map(|socket| socket.into_listener().unwrap().drain().unwrap().count())
        .collect();
    assert_eq!(shares.iter().sum::<usize>(), clients.len(), "{shares:?}");
    assert!(shares.iter().all(|&share| share > 0), "{shares:?}");
}

#[tokio::test]
async fn a_second_start_is_told_that_the_address_is_taken() {
    for text in ["127.0.0.1:0", "[::]:0"] {
        let bound = bind(&options(text.parse().unwrap(), 2)).unwrap();
        let problem = bind(&options(bound.address.clone(), 2)).unwrap_err();
        assert!(matches!(problem.cause, BindCause::AddressInUse), "{problem:?}");
        let said = problem.to_string();
        assert!(
            said.contains(&format!("address in use: {} is held by another process", bound.address)),
            "{said}"
        );
    }
}

#[tokio::test]
async fn an_address_is_free_again_after_its_listeners_close_although_connections_linger() {
    let (bound, address) = bind_loopback(2);
    let client = std::net::TcpStream::connect(address).unwrap();
    let queued: Vec<Accepted> =
        bound.sockets.into_iter().flat_map(|s| s.into_listener().unwrap().drain().unwrap()).collect();
    assert_eq!(queued.len(), 1);
    drop(queued);
    bind(&options(ListenAddress::Tcp(address), 2)).unwrap();
    drop(client);
}

#[tokio::test]
async fn the_unspecified_ipv6_address_takes_ipv4_clients_and_names_them_as_ipv4() {
    let bound = bind(&options("[::]:0".parse().unwrap(), 1)).unwrap();
    let ListenAddress::Tcp(address) = bound.address else { panic!("asked for TCP") };
    let mut listener = bound.sockets.into_iter().next().unwrap().into_listener().unwrap();
    let client = std::net::TcpStream::connect(("127.0.0.1", address.port())).unwrap();
    let accepted = listener.accept().await;
    assert_eq!(accepted.peer, Address::Ip(client.local_addr().unwrap()));
    assert_eq!(accepted.stream.peer_address().unwrap(), accepted.peer);
    assert_eq!(accepted.stream.local_address().unwrap(), Address::Ip(client.peer_addr().unwrap()));
}

#[tokio::test]
async fn small_writes_are_not_delayed_in_either_direction() {
    let (client, server) = tcp_pair().await;
    for stream in [client, server] {
        let Stream::Clear(keygate::net::stream::Socket::Tcp(tcp)) = stream else { panic!("cleartext TCP") };
        assert!(tcp.nodelay().unwrap());
    }
}

#[tokio::test]
async fn drain_serves_every_queued_connection_and_then_refuses() {
    let (bound, address) = bind_loopback(2);
    let mut clients: Vec<_> = (0..100).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
    for client in &mut clients {
        client.write_all(b"ping").unwrap();
    }
    for socket in bound.sockets {
        for mut accepted in socket.into_listener().unwrap().drain().unwrap() {
            let mut request = [0; 4];
            accepted.stream.read_exact(&mut request).await.unwrap();
            accepted.stream.write_all(&request).await.unwrap();
        }
    }
    for client in &mut clients {
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"ping");
    }
    assert_eq!(
        std::net::TcpStream::connect(address).unwrap_err().kind(),
        std::io::ErrorKind::ConnectionRefused
    );
}

#[tokio::test]
async fn a_unix_socket_is_shared_by_all_workers_with_the_mode_asked_for() {
    let (_folder, path) = socket_path();
    let bound = bind_at(&path, 2).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    let [first, second] = <[_; 2]>::try_from(bound.sockets).unwrap();
    let (mut first, mut second) = (first.into_listener().unwrap(), second.into_listener().unwrap());
    for listener in [&mut first, &mut second] {
        let (client, accepted) = tokio::join!(Stream::connect_unix(&path), listener.accept());
        assert_eq!(accepted.peer, Address::Unix);
        let (mut client, mut server) = (client.unwrap(), accepted.stream);
        client.write_all(b"hello").await.unwrap();
        let mut received = [0; 5];
        server.read_exact(&mut received).await.unwrap();
        assert_eq!(&received, b"hello");
    }
}

#[tokio::test]
async fn a_stale_unix_socket_is_replaced_and_a_live_one_is_respected() {
    let (_folder, path) = socket_path();
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "a listener that just ends leaves its file");

    let bound = bind_at(&path, 1).unwrap();
    assert!(matches!(bind_at(&path, 1), Err(BindCause::AddressInUse)));

    drop(bound);
    assert!(!path.exists(), "the file goes with its gateway");
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_never_removed() {
    let (_folder, path) = socket_path();
    std::fs::write(&path, "precious").unwrap();
    assert!(matches!(bind_at(&path, 1), Err(BindCause::NotASocket)));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn a_socket_file_of_somebody_else_at_our_path_survives_our_end() {
    let (_folder, path) = socket_path();
    let bound = bind_at(&path, 1).unwrap();
    std::fs::remove_file(&path).unwrap();
    let successor = std::os::unix::net::UnixListener::bind(&path).unwrap();
    drop(bound);
    assert!(path.exists());
    drop(successor);
}

#[tokio::test]
async fn unix_drain_hides_the_path_first_and_serves_what_queued() {
    let (_folder, path) = socket_path();
    let bound = bind_at(&path, 1).unwrap();
    let client = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let listener = bound.sockets.into_iter().next().unwrap().into_listener().unwrap();
    let queued = listener.drain().unwrap();
    assert!(!path.exists());
    assert_eq!(queued.count(), 1);
    drop(client);
}

#[tokio::test]
async fn an_idle_connection_is_reusable_until_its_peer_speaks_or_leaves() {
    let (mut upstream, mut peer) = tcp_pair().await;
    assert!(upstream.is_reusable());
    assert!(upstream.is_reusable(), "asking changes nothing");
    peer.write_all(b"HTTP/1.1 408").await.unwrap();
    until_unusable(&mut upstream).await;

    let (mut upstream, peer) = tcp_pair().await;
    drop(peer);
    until_unusable(&mut upstream).await;
}

/// Lets the runtime's driver run until it has seen what the peer did.
pub(crate) async fn until_unusable(stream: &mut Stream) {
    while stream.is_reusable() {
        tokio::task::yield_now().await;
    }
}

#[test]
fn accept_outlives_the_lack_of_descriptors() {
    // In a process of its own: the limit would starve every other test.
    const CHILD: &str = "KEYGATE_TEST_WITHOUT_DESCRIPTORS";
    if std::env::var_os(CHILD).is_some() {
        accept_without_descriptors();
        return;
    }
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "net::accept_outlives_the_lack_of_descriptors", "--nocapture"])
        .env(CHILD, "1")
        .status()
        .unwrap();
    assert!(status.success());
}

fn accept_without_descriptors() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (bound, address) = bind_loopback(1);
        let mut listener = bound.sockets.into_iter().next().unwrap().into_listener().unwrap();
        let client = std::net::TcpStream::connect(address).unwrap();
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let low = rustix::process::Rlimit { current: Some(3), maximum: limit.maximum };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, low).unwrap();
        let (accepted, ()) = tokio::join!(listener.accept(), async {
            // One turn of the pause: the first try has failed when this resumes.
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
        });
        assert_eq!(accepted.peer, Address::Ip(client.local_addr().unwrap()));
    });
}
