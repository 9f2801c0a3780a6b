//! The sample upstream: an API of projects and their tests, in memory, that checks nothing. Each answer tells which
//! identity headers came with the request. What it tells over WebSocket is in `events`.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Map, Value, json};
use tokio::{net::TcpListener, runtime::Builder, sync::oneshot};

use super::events;

/// More than a demo needs, less than hurts.
const TESTS_MAX: usize = 1000;

/// The running API; dropping it closes its port.
#[derive(Debug)]
pub(super) struct SampleApi {
    address: SocketAddr,
    events: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl SampleApi {
    /// Serves on loopback ports that the system chooses.
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let listen = || runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        let (listener, event_listener) = (listen()?, listen()?);
        let (address, events) = (listener.local_addr()?, event_listener.local_addr()?);
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::Builder::new().name("sample-api".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = axum::serve(listener, router()) => {}
                    () = events::serve(event_listener) => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { address, events, stop: Some(stop), thread: Some(thread) })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it tells of events.
    pub(super) fn events(&self) -> SocketAddr {
        self.events
    }
}

impl Drop for SampleApi {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Project {
    id: &'static str,
    tests: Mutex<Vec<String>>,
}

type Projects = Arc<[Project]>;

fn router() -> Router {
    let project = |id, tests: &[&str]| Project {
        id,
        tests: Mutex::new(tests.iter().map(|&test| test.to_owned()).collect()),
    };
    let projects: Projects =
        Arc::new([project("alpha", &["sign-in", "checkout"]), project("beta", &["search"])]);
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/internal/debug", get(async || "nobody should see this\n"))
        .route("/api/v1/projects", get(list_projects).post(create_project))
        .route("/api/v1/projects/{project}", get(show_project).delete(delete_project))
        .route("/api/v1/projects/{project}/tests", get(show_project).post(create_test))
        .with_state(projects)
}

/// The projects that the caller may see: those in `X-Auth-Projects`.
async fn list_projects(State(projects): State<Projects>, headers: HeaderMap) -> Response {
    let visible = headers.get("x-auth-projects").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_visible = |id: &str| visible == "*" || visible.split(',').any(|one| one.trim() == id);
    let ids: Vec<_> = projects.iter().map(|project| project.id).filter(|id| is_visible(id)).collect();
    answer(StatusCode::OK, json!({ "projects": ids }), &headers)
}

async fn show_project(
    State(projects): State<Projects>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    match find(&projects, &id) {
        Some(project) => {
            answer(StatusCode::OK, json!({ "project": id, "tests": *tests_of(project) }), &headers)
        }
        None => not_found(&headers),
    }
}

/// The body is the name of the test.
async fn create_test(
    State(projects): State<Projects>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(project) = find(&projects, &id) else { return not_found(&headers) };
    let mut tests = tests_of(project);
    if tests.len() >= TESTS_MAX {
        return answer(StatusCode::INSUFFICIENT_STORAGE, json!({ "error": "full" }), &headers);
    }
    tests.push(String::from_utf8_lossy(&body).chars().take(64).collect());
    answer(StatusCode::CREATED, json!({ "project": id, "tests": *tests }), &headers)
}

// The projects are fixed: these only show that the request got here.
async fn create_project(headers: HeaderMap) -> Response {
    answer(StatusCode::CREATED, json!({ "created": "gamma" }), &headers)
}

async fn delete_project(Path(id): Path<String>, headers: HeaderMap) -> Response {
    answer(StatusCode::OK, json!({ "deleted": id }), &headers)
}

fn find<'p>(projects: &'p Projects, id: &str) -> Option<&'p Project> {
    projects.iter().find(|project| project.id == id)
}

fn tests_of(project: &Project) -> MutexGuard<'_, Vec<String>> {
    project.tests.lock().unwrap_or_else(PoisonError::into_inner)
}

fn not_found(headers: &HeaderMap) -> Response {
    answer(StatusCode::NOT_FOUND, json!({ "error": "no such project" }), headers)
}

/// `content`, and who the headers say is asking.
fn answer(status: StatusCode, mut content: Value, headers: &HeaderMap) -> Response {
    content["identity_headers"] = identity(headers);
    content["credential_seen"] = headers.contains_key(header::AUTHORIZATION).into();
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{content:#}\n")).into_response()
}

/// Every header that a careless back end could take for identity: `x_auth.role` is `x-auth-role` to some.
fn identity(headers: &HeaderMap) -> Value {
    let folded = |name: &str| name.replace(['_', '.'], "-").starts_with("x-auth-");
    let mut seen = Map::new();
    for name in headers.keys().filter(|name| folded(name.as_str())) {
        let values: Vec<_> =
            headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        seen.insert(name.as_str().to_owned(), values.join(" AND ").into());
    }
    Value::Object(seen)
}
