//! What a database does not let the gateway do that its config asks for. Requests are served all the same, so that nobody would learn of it
//! before the day that a key has to end.

use std::fs;

use crate::{
    cli::{deployment::Deployment, finding::Finding, key_store::in_runtime},
    config::{
        self,
        model::{DatabaseSource, KeySource},
    },
    store::{
        contract::{Right, StoreError},
        sql,
    },
    yaml::{self, Place},
};

/// A warning for each part of the config that the role of the database does not fit.
pub(super) fn missing(deployment: &Deployment) -> Vec<Finding> {
    let config = &deployment.config;
    let KeySource::Database(source) = &config.keys else { return Vec::new() };
    let wanted = [
        ("admin", config.admin.is_some(), Right::Administer),
        ("revocation_by_possession", config.possession.is_some(), Right::RevokeKeys),
    ];
    let wanted = wanted.into_iter().filter(|(_, is_on, _)| *is_on);
    wanted
        .filter_map(|(field, _, right)| {
            let error = asked(source, right).err()?.to_string();
            let (message, remedy) = error.split_once("; ").unwrap_or((&error, ""));
            let remedy = match right {
                Right::Administer => format!("{remedy}, or turn it off: admin: null"),
                Right::RevokeKeys => remedy.to_owned(),
            };
            let place = place_of(deployment, field).unwrap_or_default();
            Some(Finding::at(&deployment.path, place, &format!("{field}: {message}"), &remedy))
        })
        .collect()
}

fn asked(source: &DatabaseSource, right: Right) -> Result<(), StoreError> {
    let asking = async {
        let database = sql::open(&source.url, source.listen_url.as_ref()).await?;
        database.demand_right(right).await
    };
    in_runtime(asking).unwrap_or_else(|error| Err(StoreError::Failed(format!("no runtime: {error}"))))
}

/// Where in the config `field` stands, if it does.
fn place_of(deployment: &Deployment, field: &str) -> Option<Place> {
    let text = fs::read(&deployment.path).ok()?;
    let document = yaml::parse(&text, &config::LIMITS).ok()?;
    let place = document.root().get(field)?.place();
    Some(place)
}
