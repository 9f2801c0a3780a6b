//! A rolling restart behind a real nginx, as docs/rolling-restarts.md has it: under steady load, and with a long answer
//! under way, no request is lost.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use socket2::{Domain, Socket, Type};

use super::read;
use crate::{
    fixture,
    harness::{Client, GUARD, Gateway, Latch, Talk, Upstream, run},
};

/// A port that nobody else is given, and on which gateways of the test may listen one after the other.
struct Port {
    address: SocketAddr,
    _kept: Socket,
}

impl Port {
    fn new() -> Self {
        // Bound and never listening, which hinders nobody who reuses the address too.
        let kept = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        kept.set_reuse_address(true).unwrap();
        kept.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        Self { address: kept.local_addr().unwrap().as_socket().unwrap(), _kept: kept }
    }
}

struct Nginx {
    process: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Nginx {
    /// With the blocks of the guide, in which these stand instead of its addresses.
    fn start(gateways: &[SocketAddr; 2]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display();
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let blocks = guide("nginx")
            .replace("10.0.0.11:8080", &gateways[0].to_string())
            .replace("10.0.0.12:8080", &gateways[1].to_string())
            .replace("listen 80;", &format!("listen {address};"));
        let config = format!(
            "daemon off; pid {at}/nginx.pid; error_log stderr;\nevents {{}}\nhttp {{\n\
             access_log off; client_body_temp_path {at}/body; proxy_temp_path {at}/proxy;\n\
             fastcgi_temp_path {at}/fastcgi; uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;\n{blocks}\n}}\n"
        );
        let path = folder.path().join("nginx.conf");
        fs::write(&path, config).unwrap();
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-p").arg(folder.path()).arg("-c").arg(&path).args(["-e", "stderr"]);
        let mut process =
            command.stdin(Stdio::null()).spawn().expect("nginx is installed (scripts/test-tools)");
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(process.try_wait().unwrap().is_none(), "nginx has ended");
            assert!(start.elapsed() < GUARD, "nginx does not listen");
            thread::yield_now();
        }
        Self { process, address, _folder: folder }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = run::run(Command::new("kill").arg(self.process.id().to_string()), "");
        let _ = self.process.wait();
    }
}

/// The block of the guide in this language.
fn guide(language: &str) -> String {
    let page = read("docs/rolling-restarts.md");
    let block = page.split_once(&format!("\n```{language}\n")).unwrap().1;
    block.split("\n```").next().unwrap().to_owned()
}

fn start_gateway(port: &Port, upstream: &Upstream) -> Gateway {
    let shutdown = guide("yaml");
    assert!(shutdown.starts_with("shutdown: {delay: "), "{shutdown}");
    let config = fixture::config(&upstream.url(), "", "", &shutdown)
        .replace("127.0.0.1:0", &port.address.to_string())
        .replace("health: null", "health: {address: '127.0.0.1:0'}");
    let gateway = Gateway::start(&[("keygate.yaml", &config), ("keys.yaml", &fixture::keys())]);
    let health = gateway.address("health").to_string();
    let start = Instant::now();
    while run::keygate(Path::new("/"), &["healthcheck", "--address", &health], "").code != Some(0) {
        assert!(start.elapsed() < GUARD);
    }
    gateway
}

/// Answers at once, but for `/any/slow`, which begins and waits for the test.
fn upstream(begun: Latch, go: Latch) -> Upstream {
    Upstream::start(move |talk: &mut Talk| {
        while let Some(request) = talk.request()? {
            if request.start.contains("/any/slow") {
                talk.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbegun")?;
                begun.open();
                go.wait();
                talk.send("ended")?;
            } else {
                talk.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")?;
            }
        }
        Ok(())
    })
}

/// Clients that ask again and again on connections that they keep, until they are told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<thread::JoinHandle<()>>,
}

impl Load {
    fn on(address: SocketAddr) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let clients = (0..4).map(|_| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            thread::spawn(move || {
                let requests = [
                    fixture::request("GET /any/a", &[], ""),
                    fixture::request("PUT /any/a", &["Content-Length: 2"], "hi"),
                ];
                let mut client = Client::connect(address);
                while !stop.load(Ordering::Relaxed) {
                    // Steady, and no race for the machine.
                    thread::sleep(Duration::from_millis(2));
                    for request in &requests {
                        let answer = client.exchange(request);
                        assert_eq!((answer.status(), answer.text()), (200, "hi"));
                        answered.fetch_add(1, Ordering::Relaxed);
                        if answer.header("connection") == Some("close") {
                            client = Client::connect(address);
                        }
                    }
                }
            })
        });
        Self { clients: clients.collect(), stop, answered }
    }

    /// Waits until so many more requests were answered: the load goes on.
    fn goes_on(&self) {
        let wanted = self.answered.load(Ordering::Relaxed) + 100;
        let start = Instant::now();
        while self.answered.load(Ordering::Relaxed) < wanted {
            assert!(self.clients.iter().all(|client| !client.is_finished()), "a client has failed");
            assert!(start.elapsed() < GUARD, "nothing is answered");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().expect("every request got its answer");
        }
        self.answered.load(Ordering::Relaxed)
    }
}

#[test]
fn a_rolling_restart_behind_nginx_loses_no_request() {
    let (begun, go) = (Latch::default(), Latch::default());
    let upstream = upstream(begun.clone(), go.clone());
    let ports = [Port::new(), Port::new()];
    let mut gateways = ports.each_ref().map(|port| start_gateway(port, &upstream));
    let nginx = Nginx::start(&ports.each_ref().map(|port| port.address));
    let load = Load::on(nginx.address);
    load.goes_on();

    // One answer is under way on the first gateway, and stays so until that takes no connections any more.
    let mut slow = Client::connect(ports[0].address);
    slow.send(fixture::request("GET /any/slow", &[], ""));
    assert_eq!(slow.response_head().status(), 200);
    begun.wait();
    for at in 0..2 {
        gateways[at].signal(Signal::TERM);
        let start = Instant::now();
        while TcpStream::connect(ports[at].address).is_ok() {
            assert!(start.elapsed() < GUARD, "it still listens");
            // Each try is a connection that it has to serve.
            thread::sleep(Duration::from_millis(20));
        }
        load.goes_on();
        go.open();
        let (status, output) = gateways[at].wait();
        assert!(status.success(), "{output}");
        load.goes_on();
        gateways[at] = start_gateway(&ports[at], &upstream);
        load.goes_on();
    }
    assert_eq!(slow.take(10), b"begunended");
    assert!(load.end() > 600);
}
