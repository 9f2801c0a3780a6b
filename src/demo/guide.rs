//! What `keygate demo` prints: where everything is, and lines to paste into a shell.

use std::io;

use super::{
    Demo, files,
    keyring::Holder,
    steps::{CHAPTERS, LEAVING},
};

pub(super) fn write(out: &mut dyn io::Write, demo: &Demo) -> io::Result<()> {
    let folder = demo.folder().display();
    writeln!(out, "A sample API behind Keygate. Ctrl-C ends it and removes its folder.\n")?;
    writeln!(out, "  gateway        http://{}", demo.gateway)?;
    writeln!(out, "  metrics        http://{}/metrics", demo.health)?;
    writeln!(out, "  configuration  {folder}/{}", files::CONFIG)?;
    writeln!(out, "  keys           {folder}/{}", files::KEYS)?;
    writeln!(out, "  access log     {folder}/{}", files::ACCESS_LOG)?;
    for chapter in CHAPTERS {
        writeln!(out, "\n{}", chapter.title)?;
        for step in chapter.steps {
            writeln!(out, "\n  # {} {}  {}", step.status, step.code, step.what)?;
            writeln!(out, "  {}", step.request.curl(demo.gateway, &demo.keyring))?;
        }
    }
    write_revocation(out, demo)
}

/// A key that works, its revocation by an edit, and how long it takes until it is refused.
fn write_revocation(out: &mut dyn io::Write, demo: &Demo) -> io::Result<()> {
    let keys = demo.folder().join(files::KEYS);
    let keys = keys.display();
    let id = Holder::Leaving.id();
    let request = LEAVING.curl(demo.gateway, &demo.keyring);
    let status = request.replacen("curl -i", "curl -s -o /dev/null -w '%{http_code}'", 1);
    writeln!(out, "\nRevoked means revoked now")?;
    writeln!(out, "\n  # 200  a key works")?;
    writeln!(out, "  {request}")?;
    writeln!(out, "\n  # mark it in the key file, and see how long it goes on working")?;
    writeln!(
        out,
        "  sed -i.bak 's/^  - id: {id}$/&\\n    revoked_at: '\"$(date -u +%FT%TZ)\"'/' {keys}; \
         time until [ \"$({status})\" = 401 ]; do :; done"
    )?;
    writeln!(out, "\n  # 401 key_revoked")?;
    writeln!(out, "  {request}\n")
}
