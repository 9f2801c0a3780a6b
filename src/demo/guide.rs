//! What `keygate demo` prints: where everything is, and lines to paste into a shell.

use std::io;

use super::{
    Demo,
    command::Command,
    files,
    steps::{CHAPTERS, Change, DEMOTION, REVOCATION, Step},
};

const LIST: Command = Command(&["keys", "list"]);
const INVITE: Command = Command(&["people", "invite", "bob"]);

pub(super) fn write(out: &mut dyn io::Write, demo: &Demo) -> io::Result<()> {
    let folder = demo.folder().display();
    writeln!(out, "A sample API behind Keygate. Ctrl-C ends it and removes its folder.\n")?;
    writeln!(out, "  console        http://{}", demo.console)?;
    writeln!(
        out,
        "  sign in        http://{}/link/{}  (as ada, once, within 15 minutes)\n",
        demo.console,
        demo.link.expose()
    )?;
    writeln!(out, "  gateway        http://{}", demo.gateway)?;
    writeln!(out, "  metrics        http://{}/metrics", demo.health)?;
    writeln!(out, "  configuration  {folder}/{}", files::CONFIG)?;
    writeln!(out, "  database       {folder}/{}", files::DATABASE)?;
    writeln!(out, "  access log     {folder}/{}", files::ACCESS_LOG)?;
    writeln!(out, "  keys           {}", LIST.shell(demo.folder())?)?;
    writeln!(out, "  as another     {}  # prints a link for bob, a member", INVITE.shell(demo.folder())?)?;
    for chapter in CHAPTERS {
        writeln!(out, "\n{}", chapter.title)?;
        for step in chapter.steps {
            write_step(out, demo, step)?;
        }
    }
    write_change(out, demo, &REVOCATION, "in another shell: watch it end when its key is revoked")?;
    write_change(out, demo, &DEMOTION, "")?;
    writeln!(out)
}

fn write_step(out: &mut dyn io::Write, demo: &Demo, step: &Step) -> io::Result<()> {
    writeln!(out, "\n  # {} {}  {}", step.status, step.code, step.what)?;
    writeln!(out, "  {}", step.request.curl(demo.gateway, &demo.keyring))
}

fn write_change(out: &mut dyn io::Write, demo: &Demo, change: &Change, advice: &str) -> io::Result<()> {
    writeln!(out, "\n{}", change.title)?;
    write_step(out, demo, &change.before)?;
    if !advice.is_empty() {
        writeln!(out, "  # {advice}")?;
    }
    writeln!(out, "\n  # returns when it is in force, and says where")?;
    writeln!(out, "  {}", change.command.shell(demo.folder())?)?;
    write_step(out, demo, &change.after)
}
