//! Whether a role may do what it is about to be asked for: looked up in the rights on tables, so that nothing is changed, locked or
//! waited for.

use super::connection::{Connection, Driver};
use crate::store::contract::{Right, StoreError};

/// What ending a key writes.
const REVOKE: &[(&str, &str)] = &[
    ("head", "UPDATE"),
    ("keys", "UPDATE"),
    ("commits", "INSERT DELETE"),
    ("changes", "INSERT DELETE"),
    ("audit", "INSERT"),
];

/// What else the admin listener reads and writes.
const ADMINISTER: &[(&str, &str)] = &[
    ("organizations", "INSERT UPDATE"),
    ("people", "INSERT UPDATE"),
    ("keys", "INSERT"),
    ("audit", "SELECT"),
    ("submissions", "SELECT INSERT DELETE"),
    ("passwords", "SELECT INSERT UPDATE DELETE"),
    ("links", "SELECT INSERT UPDATE DELETE"),
    ("sessions", "SELECT INSERT UPDATE DELETE"),
];

/// As [`Database::demand_right`](crate::store::contract::Database::demand_right), within a transaction that reads.
pub(super) async fn demand(connection: &mut Connection, right: Right) -> Result<(), StoreError> {
    match connection.driver {
        // Who may open its file may do everything.
        Driver::Sqlite(_) => return Ok(()),
        Driver::Postgres(_) => {}
    }
    let rows = connection.rows(missing(right), Vec::new()).await?;
    let name = &connection.name;
    let Some(first) = rows.first() else { return Ok(()) };
    if first.get::<bool>(1)? {
        let why = "this is a standby: name the primary instead";
        return Err(StoreError::Unavailable(format!("{name}: {why}")));
    }
    let role = first.get::<&str>(0)?;
    let lacking: Vec<_> = rows.iter().map(|row| row.get::<&str>(2)).collect::<Result<_, _>>()?;
    let (Some(one), more) = (lacking.iter().find(|lack| !lack.is_empty()), lacking.len() - 1) else {
        return Ok(());
    };
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    Err(StoreError::NotPermitted(format!(
        "{name}: the role {role} cannot {}, as it lacks {one}{more}; use keygate_console, see deploy/postgres/roles.sql",
        right.as_str()
    )))
}

/// One row for each right that is missing, and one in any case: the role, whether it is a standby, and what is missing. A right on a
/// column is enough, but for DELETE, which has none.
fn missing(right: Right) -> String {
    let needs = match right {
        Right::RevokeKeys => [REVOKE, &[]],
        Right::Administer => [REVOKE, ADMINISTER],
    };
    let each = |(table, rights): &(&str, &str)| -> Vec<String> {
        rights.split(' ').map(|right| format!("('{table}', '{right}')")).collect()
    };
    let needs: Vec<String> = needs.into_iter().flatten().flat_map(each).collect();
    format!(
        "SELECT CAST(current_user AS TEXT), pg_is_in_recovery(), coalesce(lack.what, '') FROM (VALUES (1)) AS one (n) LEFT JOIN \
         (SELECT need.privilege || ' on ' || need.relation AS what FROM (VALUES {}) AS need (relation, privilege) \
         WHERE NOT CASE need.privilege WHEN 'DELETE' THEN has_table_privilege(need.relation, need.privilege) \
         ELSE has_any_column_privilege(need.relation, need.privilege) END) AS lack ON true",
        needs.join(", ")
    )
}
