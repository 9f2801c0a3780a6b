//! The document that describes the admin API (OpenAPI 3.1): made from the operations; what holds for all of them is said
//! here.

use axum::http::Method;
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, ResponseBuilder,
    path::{Operation, PathItem},
    security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    tag::TagBuilder,
};

use crate::admin::problem::PROBLEM_JSON;

const ABOUT: &str = "Manages the keys, people and projects of Keygate. Send a key that carries `keygate:manage` and belongs \
     to an owner or admin as `Authorization: Bearer KEY`, or use the session of the console.\n\nLists come in pages: give \
     `next` of one as `cursor` of the next. Changes take `Idempotency-Key`, so that a request that is sent twice is done \
     once; updates, rotations and revocations take the `ETag` of what you have seen as `If-Match`; `wait` waits until every \
     replica has put the change in force. Unknown fields and query parameters are errors.";

const TAGS: [(&str, &str); 7] = [
    ("keys", "Create, show, narrow, rotate and revoke API keys."),
    ("people", "Who owns keys, and who manages them."),
    ("projects", "What organizations declare, and keys are restricted to."),
    ("organizations", "Who shares people and projects."),
    ("audit", "What was changed, and by whom."),
    ("gateway", "Routes, decisions and replicas."),
    ("sessions", "Who you are, and where you are signed in."),
];

/// Refusals that every operation may answer with.
const REFUSALS: [(&str, &str); 9] = [
    ("400", "The request is malformed, or has a parameter or field that is not known."),
    ("401", "There is no key or session, or it is no longer good."),
    ("403", "You may not, or the request comes from another site."),
    ("404", "There is none, or none for you."),
    ("405", "The path does not take this method."),
    ("413", "The body is too large."),
    ("421", "The listener does not answer to this Host."),
    ("431", "The header fields are too large."),
    ("503", "The store cannot be used now, or too much is going on."),
];

/// Those of operations that change or look for something by their body.
const REFUSALS_OF_BODIES: [(&str, &str); 4] = [
    ("409", "It contradicts what is there."),
    ("412", "It was changed since you have seen it."),
    ("415", "The body is not application/json."),
    ("422", "What was asked for is wrong; `errors` says which field."),
];

/// The document before any operation.
pub(super) fn beginning() -> OpenApi {
    let key =
        HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("A key with keygate:manage."));
    let session =
        ApiKeyValue::with_description("keygate", "A session of the console; `__Host-keygate` under TLS.");
    let components = ComponentsBuilder::new()
        .security_scheme("key", SecurityScheme::Http(key.build()))
        .security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(session)))
        .build();
    let info = InfoBuilder::new()
        .title("Keygate admin API")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .build();
    let nothing: [&str; 0] = [];
    OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .security(Some(["key", "session"].map(|scheme| SecurityRequirement::new(scheme, nothing))))
        .tags(Some(TAGS.map(|(name, about)| TagBuilder::new().name(name).description(Some(about)).build())))
        .build()
}

/// `document` with the refusals of every operation.
pub(super) fn with_refusals(mut document: OpenApi) -> OpenApi {
    for item in document.paths.paths.values_mut() {
        for (method, operation) in slots_mut(item) {
            let Some(operation) = operation else { continue };
            let of_bodies = if method.is_safe() { &[][..] } else { &REFUSALS_OF_BODIES };
            for (status, about) in REFUSALS.iter().chain(of_bodies) {
                let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
                let refusal =
                    ResponseBuilder::new().description(*about).content(PROBLEM_JSON, content).build();
                operation.responses.responses.insert((*status).to_owned(), RefOr::T(refusal));
            }
        }
    }
    document
}

/// Every operation of `document`: its method, path and description.
pub(super) fn operations(document: &OpenApi) -> impl Iterator<Item = (Method, &str, &Operation)> {
    document.paths.paths.iter().flat_map(|(path, item)| {
        let found =
            slots(item).into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?)));
        found.map(move |(method, operation)| (method, path.as_str(), operation))
    })
}

fn slots(item: &PathItem) -> [(Method, &Option<Operation>); 4] {
    let PathItem { get, post, patch, delete, .. } = item;
    [(Method::GET, get), (Method::POST, post), (Method::PATCH, patch), (Method::DELETE, delete)]
}

fn slots_mut(item: &mut PathItem) -> [(Method, &mut Option<Operation>); 4] {
    let PathItem { get, post, patch, delete, .. } = item;
    [(Method::GET, get), (Method::POST, post), (Method::PATCH, patch), (Method::DELETE, delete)]
}
