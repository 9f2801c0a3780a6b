//! Gateways with an admin listener, and the people there.

use super::{Browser, Gateway, run::keygate};

/// A configuration with an admin listener and `keys:`, which says `more`: its routes.
pub(crate) fn config(keys: &str, more: &str) -> String {
    format!(
        "version: 1
listen: {{address: '127.0.0.1:0'}}
health: null
admin: {{address: '127.0.0.1:0'}}
upstreams: {{api: {{url: 'http://127.0.0.1:9'}}}}
keys: {keys}
state: state
key_creation: everyone
{more}"
    )
}

/// A gateway on a database with `people`, each an id and a role; `more` as for [`config`].
pub(crate) fn gateway_with(people: &[(&str, &str)], more: &str) -> Gateway {
    let config = config("{database: 'sqlite:keygate.db'}", more);
    Gateway::start_with(&[("keygate.yaml", &config)], |command| {
        let folder = command.get_current_dir().unwrap();
        keygate(folder, &["migrate"], "").expect_success();
        for (id, role) in people {
            let email = format!("{id}@example.com");
            keygate(folder, &["people", "create", id, "--email", &email, "--role", role], "")
                .expect_success();
        }
        command
    })
}

/// The browser of `id`, who has accepted an invitation.
pub(crate) fn invited(gate: &Gateway, id: &str) -> Browser {
    let invited = keygate(gate.folder(), &["people", "invite", id], "").expect_success();
    Browser::new(gate).accept(invited.stdout.trim())
}
