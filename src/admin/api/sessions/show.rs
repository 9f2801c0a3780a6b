//! `GET /api/v1/session`.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::SessionView;
use crate::{
    admin::{
        caller::{Caller, KnownBy},
        problem::Problem,
        state::AdminState,
    },
    control::{
        actor::{Acting, Action, Actor},
        administration::Work,
        key_view::Projects,
        listing::ListedPerson,
        person_view::PersonView,
    },
    keys::record::Person,
    policy::project::ProjectSet,
};

/// Who asks.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct WhoAsks {
    /// The person.
    person: PersonView,
    /// The id of the key that stands for them.
    key: Option<String>,
    /// Their session, if they are signed in.
    session: Option<SessionView>,
    /// What they may do.
    may: Powers,
    /// Where keys are kept: in `files`, which the API shows and does not change, or in a `database`.
    kept_in: &'static str,
}

/// What somebody may do.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "each is a power of its own, as JSON says it")]
pub(in crate::admin) struct Powers {
    /// Whose keys they see and manage: `all` of their organization, their `own`, or `none`.
    keys: &'static str,
    /// Whether they manage people, none of a higher role.
    people: bool,
    /// Whether they declare and remove projects.
    projects: bool,
    /// Whether they see the audit trail.
    audit: bool,
    /// Whether they see routes and replicas, explain requests and reload.
    gateway: bool,
    /// The scopes that their keys may have.
    scopes: Vec<String>,
    /// The projects that their keys may have.
    projects_granted: Projects,
}

/// Show who you are, and what you may.
#[utoipa::path(
    get,
    path = "/api/v1/session",
    tag = "sessions",
    responses((status = 200, description = "You.", body = WhoAsks))
)]
pub(in crate::admin) async fn show_session(
    State(state): State<AdminState>,
    caller: Caller,
) -> Result<Json<WhoAsks>, Problem> {
    let administration = state.administration(&caller, None);
    let mut work = administration.look().await?;
    let listed = ListedPerson::of(&mut work, caller.person.clone()).await?;
    let session = match &caller.by {
        KnownBy::Session(session) => Some(SessionView::new(session, &caller)),
        KnownBy::Key => None,
    };
    let key = match &caller.actor {
        Actor::Key(_, key) => Some(key.to_string()),
        Actor::Person(_) | Actor::Operator(_) | Actor::FirstOwnerLink | Actor::Possessor => None,
    };
    Ok(Json(WhoAsks {
        person: PersonView::new(&listed, &work),
        key,
        session,
        may: Powers::of(&work, &caller.person),
        kept_in: if administration.database().is_some() { "database" } else { "files" },
    }))
}

impl Powers {
    fn of(work: &Work<'_>, person: &Person) -> Self {
        let may = |action| match &work.acting {
            Acting::Operator => true,
            Acting::Person(_, own) => work.permits(action, own),
        };
        let keys = if may(Action::SeeKey(None)) {
            "all"
        } else if may(Action::SeeKey(Some(&person.id))) {
            "own"
        } else {
            "none"
        };
        let rules = work.administration.rules_for([]);
        let granted = work.acting.person().map_or(&ProjectSet::All, |acting| &acting.projects);
        Self {
            keys,
            people: person.role.manages(),
            projects: may(Action::ManageProjects),
            audit: may(Action::SeeAudit),
            gateway: may(Action::WatchGateway),
            scopes: rules.scopes.names(rules.role_caps.get(person.role)).map(str::to_owned).collect(),
            projects_granted: Projects::from(granted),
        }
    }
}
