//! What the gate decides about one request, as it is told: the verdict, its row of the table, and all that led to it.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::decision_table::{self, TableRow};
use crate::{
    config::model::Config,
    gate::{Denial, Judgement, Verdict, explanation::Explanation, identity::write_identity},
    keys::{snapshot::KeySnapshot, table::KeyView},
    policy::{
        decide::{Permit, Unseen},
        principal::Principal,
        project::{Named, ProjectInDoubt},
        route::{Access, Route},
        scope::{MANAGE, ScopeSet, Scopes},
    },
};

/// What the gate decides, and why.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Decision {
    /// The revision that decided, where one is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The number of the row of the decision table, whose words [`Decision::table_row`] has; 0 for refusals that are in
    /// none of the numbered ones (414, 431, 503, 505).
    pub row: u8,
    /// The code of the refusal; else `forwarded`, `observed`, `preflight` or `server_options`.
    pub code: &'static str,
    /// The status of the answer; `None` where the upstream gives it.
    pub status: Option<u16>,
    /// What the client is told.
    pub detail: Option<String>,
    /// Why, for the operator.
    pub because: String,
    /// `Allow` of the answer.
    pub allow: Option<String>,
    /// What the path is read as; `None` for `OPTIONS *` and requests that cannot be read.
    pub path: Option<PathSeen>,
    /// The route that the path leads to.
    pub route: Option<RouteSeen>,
    /// The key, where one was found.
    pub key: Option<KeySeen>,
    /// The project that the request names.
    pub project: Option<ProjectSeen>,
    /// What is forwarded.
    pub forwarded: Option<Forwarded>,
    /// What the request would be refused with, where it is forwarded all the same since its route observes.
    pub observed: Option<Observed>,
}

/// What a route that observes would refuse a request with.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Observed {
    /// The code.
    pub code: &'static str,
    /// The status.
    pub status: u16,
    /// From when on it does.
    pub until: Option<Timestamp>,
}

/// How a path is read.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PathSeen {
    /// As it stands.
    pub as_sent: String,
    /// As the laxest back end might read it, where that differs.
    pub folded: Option<String>,
    /// The route that the fold leads to.
    pub folded_route: Option<String>,
    /// Whether both lead to the same route and project.
    pub agree: bool,
}

/// A route.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RouteSeen {
    /// Its pattern, as written.
    pub pattern: String,
    /// Its number in the config, from 0.
    pub index: usize,
    /// The hosts it is for; empty for any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// The method that is decided on.
    pub method: String,
    /// The scope that the method needs, or `public`; `None` where it is not mapped.
    pub needs: Option<String>,
}

/// A key, and what it may.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct KeySeen {
    /// Its id.
    pub id: String,
    /// Its name; empty if it has none.
    pub name: String,
    /// Whether the secret is the one from before the last rotation.
    pub is_previous_secret: bool,
    /// The granted scopes.
    pub granted: Vec<String>,
    /// The person that it belongs to.
    pub owner: Option<OwnerSeen>,
    /// The scopes that it has: granted ∩ role cap; `None` where the key is refused.
    pub effective: Option<Vec<String>>,
    /// The projects that it sees, `*` for all; `None` where the key is refused.
    pub projects: Option<Vec<String>>,
    /// How much it may ask for; what it has asked for so far is left aside. `None`: as much as it likes.
    pub plan: Option<PlanSeen>,
}

/// The plan that a key is held to.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PlanSeen {
    /// Its name.
    pub name: String,
    /// What it allows, in words.
    pub allows: String,
    /// Why it is this one.
    pub because: &'static str,
}

/// The owner of a key.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OwnerSeen {
    /// Id of the person.
    pub id: String,
    /// Role.
    pub role: &'static str,
    /// What the role caps scopes at.
    pub cap: Vec<String>,
}

/// A project that a request names.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ProjectSeen {
    /// Its id, as sent.
    pub id: String,
    /// Whether the key sees it; `None` where no key was found good.
    pub visible: Option<bool>,
    /// Why, in words.
    pub because: String,
}

/// What an upstream receives.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Forwarded {
    /// The name of the upstream.
    pub upstream: String,
    /// Its host and port, or its socket.
    pub address: String,
    /// The identity header lines.
    pub identity: Vec<(String, String)>,
    /// The names of the headers that the config sets.
    pub set_headers: Vec<String>,
    /// Whether the credential is removed.
    pub credential_removed: bool,
}

impl Decision {
    /// The words of the row that decided; `None` only where the gate knows a row that the table lacks, which a test
    /// excludes.
    pub fn table_row(&self) -> Option<&'static TableRow> {
        let code = self.observed.as_ref().map_or(self.code, |observed| observed.code);
        decision_table::row(self.row, code)
    }

    /// Takes away whose key it was, for those who may know what it does and not whose it is.
    pub fn forget_key(&mut self) {
        self.key = None;
        if let Some(forwarded) = &mut self.forwarded {
            forwarded.identity.clear();
        }
    }

    pub(super) fn of(judgement: &Judgement<'_, '_>, config: &Config) -> Self {
        match &judgement.verdict {
            Err(denial) => Self::refused(denial),
            Ok(Verdict::ServerOptions) => {
                Self::answered(2, "server_options", "OPTIONS * asks the gateway itself")
            }
            Ok(Verdict::Preflight(_)) => {
                Self::answered(3, "preflight", "the gateway answers CORS preflights of this route")
            }
            Ok(Verdict::Forward(permit)) => {
                let mut identity = Vec::new();
                if let Some(principal) = permit.principal()
                    && let Err(denial) = write_identity(
                        &mut identity,
                        &config.identity,
                        &config.policy.scopes,
                        principal,
                        permit.project(),
                    )
                {
                    return Self::refused(&denial);
                }
                Self::permitted(permit, &identity, judgement.strip_credential, config)
            }
            Ok(Verdict::Observe(permit, denial)) => Self {
                row: denial.row,
                code: "observed",
                because: format!("the route observes; it would refuse, for {}", because(denial)),
                observed: Some(Observed {
                    code: denial.reason.code(),
                    status: denial.reason.status(),
                    until: permit.as_anonymous().route().observed_until,
                }),
                ..Self::permitted(permit.as_anonymous(), &[], judgement.strip_credential, config)
            },
        }
    }

    pub(super) fn refused(denial: &Denial<'_>) -> Self {
        Self {
            status: Some(denial.reason.status()),
            detail: Some(denial.detail.to_string()),
            allow: denial.allow.clone(),
            ..Self::new(denial.row, denial.reason.code(), because(denial))
        }
    }

    fn answered(row: u8, code: &'static str, because: &str) -> Self {
        Self { status: Some(204), ..Self::new(row, code, because.to_owned()) }
    }

    fn permitted(
        permit: &Permit<'_, '_>,
        identity: &[u8],
        credential_removed: bool,
        config: &Config,
    ) -> Self {
        let upstream = &config.upstreams[config.forwardings[permit.route().forwarding].upstream];
        let because = match permit.principal() {
            None => "the route is public",
            Some(_) => "the key sees what the request touches and has the scope that the method needs",
        };
        let row = if permit.principal().is_none() { 3 } else { 13 };
        Self {
            forwarded: Some(Forwarded {
                upstream: upstream.name.to_string(),
                address: upstream.authority.to_string(),
                identity: lines(identity),
                set_headers: upstream.set_headers.iter().map(|(name, _)| name.to_string()).collect(),
                credential_removed,
            }),
            ..Self::new(row, "forwarded", because.to_owned())
        }
    }

    fn new(row: u8, code: &'static str, because: String) -> Self {
        Self {
            revision: None,
            row,
            code,
            status: None,
            detail: None,
            because,
            allow: None,
            path: None,
            route: None,
            key: None,
            project: None,
            forwarded: None,
            observed: None,
        }
    }

    pub(super) fn explain(&mut self, explanation: &Explanation<'_, '_>, scopes: &Scopes) {
        let lax = explanation.lax.as_ref();
        self.path = Some(PathSeen {
            as_sent: explanation.path.to_owned(),
            folded: lax.map(|lax| String::from_utf8_lossy(&lax.path).into_owned()),
            folded_route: lax.and_then(|lax| lax.route).map(|route| route.pattern.clone()),
            agree: lax.is_none_or(|lax| lax.agrees),
        });
        self.route = explanation.route.map(|route| RouteSeen {
            pattern: route.pattern.clone(),
            index: route.forwarding,
            hosts: route.hosts.clone(),
            method: explanation.method.to_owned(),
            needs: explanation.access.map(|access| needs(access, scopes)),
        });
        self.project = explanation.route.and_then(|route| ProjectSeen::of(route, explanation.project));
    }
}

fn needs(access: Access, scopes: &Scopes) -> String {
    match access {
        Access::Public => "public".to_owned(),
        Access::Scopes(required) => match scopes.name_of(required) {
            Some(name) => name.to_owned(),
            None => names(scopes, required).join(" "),
        },
    }
}

fn names(scopes: &Scopes, set: ScopeSet) -> Vec<String> {
    scopes.names(set).map(str::to_owned).collect()
}

/// The cause of a refusal, for the operator; where the client is told all of it, its own words.
pub fn because(denial: &Denial<'_>) -> String {
    let words = match denial.unseen {
        Some(_) if denial.row == 12 => {
            "the key lacks the scope, and `insufficient_scope: not_found` hides that"
        }
        Some(Unseen::NoRoute) => "no route has this path",
        Some(Unseen::ReadingsDiffer) => {
            "a lax back end might read the path as another one, which leads to another route or project"
        }
        Some(Unseen::NotAllowedInPath) => {
            "the path holds what the route's `allow_in_tail` does not permit there"
        }
        Some(Unseen::MethodOverridden) => {
            "the request overrides its method, and the route does not say `method_override: honour`"
        }
        Some(Unseen::ProjectInDoubt) => {
            "the request names its project more than once, or in a spelling of its own, and the key is restricted"
        }
        Some(Unseen::ProjectOutsideGrammar) => "what stands for the project is no project id",
        Some(Unseen::ProjectOutOfSight) => "the key does not see the project",
        Some(Unseen::ProjectNotNamed) => {
            "the key is restricted to projects, the request names none, and `restricted_keys` does not list the method"
        }
        None => return denial.detail.to_string(),
    };
    words.to_owned()
}

/// Header lines as names and values.
fn lines(bytes: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(bytes);
    let pairs = text.split("\r\n").filter_map(|line| line.split_once(": "));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

impl KeySeen {
    pub(super) fn of(
        id: &str,
        is_previous_secret: bool,
        principal: Option<&Principal<'_>>,
        config: &Config,
        keys: &KeySnapshot,
    ) -> Option<Self> {
        let view = keys.table().by_id(id)?;
        let scopes = &config.policy.scopes;
        let owner = principal.and_then(|principal| principal.owner).map(|owner| OwnerSeen {
            id: owner.id.to_owned(),
            role: owner.role.as_str(),
            cap: names(scopes, config.role_caps.get(owner.role)),
        });
        let projects = principal.map(|principal| match principal.projects.listed() {
            None => vec!["*".to_owned()],
            Some(ids) => ids.map(str::to_owned).collect(),
        });
        let mut granted = names(scopes, keys.granted(&view));
        granted.extend(view.details.manages().then(|| MANAGE.to_owned()));
        Some(Self {
            id: id.to_owned(),
            name: view.details.name().to_owned(),
            is_previous_secret,
            granted,
            owner,
            effective: principal.map(|principal| names(scopes, principal.scopes)),
            projects,
            plan: PlanSeen::of(&view, config, keys),
        })
    }
}

impl PlanSeen {
    fn of(view: &KeyView<'_>, config: &Config, keys: &KeySnapshot) -> Option<Self> {
        let plans = &config.policy.plans;
        let plan = plans.get(keys.plan(view)?)?;
        let because = match keys.named_plan(view) {
            Some(name) if name == plan.name() => "the key names it",
            Some(_) => "the key names a plan that limits.plans does not have, and this one allows least",
            None => "it is limits.default, and the key names none",
        };
        Some(Self { name: plan.name().to_owned(), allows: plan.to_string(), because })
    }
}

impl ProjectSeen {
    /// The project that a request of `route` names; `None` if the route asks for none.
    fn of(route: &Route, named: Result<Named<'_>, ProjectInDoubt>) -> Option<Self> {
        route.project.as_ref()?;
        let (id, because) = match named {
            Ok(Named::Project(id)) => (id, "it depends on the key"),
            Ok(Named::OutsideGrammar) => ("", "what stands for the project is no project id"),
            Ok(Named::Nothing) => ("", "the request names no project"),
            Err(ProjectInDoubt) => {
                ("", "the request names its project more than once, or in a spelling of its own")
            }
        };
        Some(Self { id: id.to_owned(), visible: None, because: because.to_owned() })
    }

    pub(super) fn see(&mut self, principal: &Principal<'_>) {
        if self.id.is_empty() {
            return;
        }
        let projects = &principal.projects;
        let restriction = [
            (projects.organization, "the organization does not declare it"),
            (projects.owner, "the owner does not see it"),
            (projects.key, "the key is not granted it"),
        ];
        let hidden = restriction.into_iter().find(|(set, _)| !set.contains(&self.id));
        self.visible = Some(hidden.is_none());
        self.because =
            hidden.map_or("the key, its owner and the organization have it", |(_, why)| why).to_owned();
    }
}
