//! `POST /api/v1/explain`.

use std::net::{IpAddr, Ipv4Addr};

use axum::{Json, extract::State};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::{
    admin::{asked::Asked, caller::Caller, problem::Problem, state::AdminState},
    control::{
        administration::{AdminError, Refusal},
        explain::{Asker, Decision, Question, TableRow, Undecided, Unexplained, explain},
    },
    keys::secret::KeySecret,
};

/// The most header lines.
const HEADERS_MAX: usize = 100;

/// A request, and who sends it: nobody in particular, a key by its id, or a secret.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct AskedRequest {
    /// The method.
    #[schema(example = "GET", max_length = 64)]
    method: String,
    /// A path with its query, an absolute URL, or `*`.
    #[schema(example = "/v1/projects/alpha/items?page=2", max_length = 8192)]
    target: String,
    /// The Host; `localhost`, if it is left out.
    host: Option<String>,
    /// Further header lines; no credential.
    #[serde(default)]
    #[schema(max_items = 100)]
    headers: Vec<HeaderLine>,
    /// The address it comes from; your own, if it is left out.
    client: Option<String>,
    /// The id of the key that sends it.
    key_id: Option<String>,
    /// Its secret, in the place of the id.
    #[schema(value_type = Option<String>)]
    secret: Option<Zeroizing<String>>,
}

/// A header line.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct HeaderLine {
    /// Its name.
    name: String,
    /// Its value.
    value: String,
}

/// What the gateway decides.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct Explained {
    /// The decision, and all that led to it.
    decision: Decision,
    /// The row of the decision table that decided.
    table_row: Option<TableRow>,
}

/// Explain what the gateway decides about a request.
///
/// By what is in force now; nothing is sent. For owners and admins.
#[utoipa::path(
    post,
    path = "/api/v1/explain",
    tag = "gateway",
    request_body = AskedRequest,
    responses((status = 200, description = "The decision.", body = Explained))
)]
pub(in crate::admin) async fn explain_request(
    State(state): State<AdminState>,
    caller: Caller,
    Asked { body, .. }: Asked<AskedRequest>,
) -> Result<Json<Explained>, Problem> {
    let administration = state.administration(&caller, None);
    administration.demand_watcher().await?;
    let (question, asker) = body.read(caller.address, state.clock.now()).map_err(AdminError::Refused)?;
    let decision =
        explain(&administration, &question, &asker, &state.live).await.map_err(AdminError::from)?;
    let table_row = decision.table_row().copied();
    Ok(Json(Explained { decision, table_row }))
}

impl AskedRequest {
    fn read(self, own: Option<IpAddr>, now: Timestamp) -> Result<(Question, Asker), Vec<Refusal>> {
        let wrong = |field, reason: &str| vec![Refusal::of(field, reason)];
        if self.headers.len() > HEADERS_MAX {
            return Err(wrong("headers", "at most 100 header lines"));
        }
        let client = self.client.map(|client| client.trim().parse()).transpose();
        let client = client.map_err(|_| wrong("client", "must be an address such as 192.0.2.7"))?;
        let asker = match (self.key_id, self.secret) {
            (None, None) => Asker::Anonymous,
            (Some(id), None) => Asker::Key(id),
            (None, Some(secret)) => {
                let secret = KeySecret::import(Zeroizing::new(secret.trim().to_owned()));
                Asker::Secret(secret.ok_or_else(|| wrong("secret", "this is no secret of a key"))?)
            }
            (Some(_), Some(_)) => return Err(wrong("secret", "give the id or the secret, not both")),
        };
        let question = Question {
            method: self.method,
            target: self.target,
            version: "HTTP/1.1".to_owned(),
            host: Some(self.host.unwrap_or_else(|| "localhost".to_owned())),
            fields: self.headers.into_iter().map(|line| (line.name, line.value)).collect(),
            client: client.or(own).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            now,
        };
        Ok((question, asker))
    }
}

impl From<Unexplained> for AdminError {
    fn from(unexplained: Unexplained) -> Self {
        match unexplained {
            Unexplained::UnknownKey => Self::NotFound("no key has this id".to_owned()),
            Unexplained::Undecided(Undecided::Unfit(unfit)) => Self::refused(unfit.to_string()),
            Unexplained::Undecided(Undecided::NoSuchKey(_)) => {
                Self::NotFound("the gateway has no key with this id in force".to_owned())
            }
            Unexplained::Failed(error) => error,
        }
    }
}
