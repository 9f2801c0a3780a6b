//! Where a database stands.

use super::{
    connection::{Connection, Driver},
    failure,
    record_row::instant,
};
use crate::store::contract::{Head, StoreError};

/// Reads the head and the clock of the database.
pub(super) async fn head(connection: &mut Connection) -> Result<Head, StoreError> {
    let statement = match connection.driver {
        Driver::Postgres(_) => {
            "SELECT instance, revision, committed_at, CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT) \
             FROM head"
        }
        Driver::Sqlite(_) => {
            "SELECT instance, revision, committed_at, CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000 FROM head"
        }
    };
    let row =
        connection.first(statement, Vec::new()).await?.ok_or_else(|| failure::no_tables(&connection.name))?;
    let instance = row.get::<&str>(0)?.parse().map_err(|error| {
        StoreError::Failed(format!("{}: its instance is no UUID: {error}", connection.name))
    })?;
    Ok(Head {
        instance,
        revision: row.number(1)?,
        now: instant(row.get(3)?),
        committed_at: instant(row.get(2)?),
    })
}
