//! `keygate demo --once`: takes every step over TCP and says of each whether its answer was right.

use std::{
    io,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    Demo, DemoError,
    exchange::{Answer, Request},
    files,
    keyring::Holder,
    read_file, replace_file,
    steps::{CHAPTERS, LEAVING, OUT_OF_SIGHT, Step},
};
use crate::{
    clock::{Clock as _, SystemClock, monotonic},
    yaml::{
        Limits,
        edit::{EditError, Editor, NewValue, Step as Way},
    },
};

/// How long a revocation may take to be in force.
const REVOCATION_PATIENCE: Duration = Duration::from_secs(5);

/// Takes every step; true if all answers were right.
pub(super) fn walk(out: &mut dyn io::Write, demo: &Demo) -> Result<bool, DemoError> {
    let mut walk = Walk { out, demo, passed: 0, failed: 0 };
    writeln!(walk.out, "A sample API behind Keygate on http://{}\n", demo.gateway)?;
    for chapter in CHAPTERS {
        writeln!(walk.out, "{}", chapter.title)?;
        for step in chapter.steps {
            walk.step(step)?;
        }
    }
    walk.same_answer()?;
    writeln!(walk.out, "Revoked means revoked now")?;
    walk.revocation()?;
    let Walk { passed, failed, .. } = walk;
    writeln!(out, "\n{passed} passed, {failed} failed")?;
    Ok(failed == 0)
}

struct Walk<'w> {
    out: &'w mut dyn io::Write,
    demo: &'w Demo,
    passed: usize,
    failed: usize,
}

impl Walk<'_> {
    fn send(&self, request: &Request) -> io::Result<Answer> {
        request.send(self.demo.gateway, &self.demo.keyring)
    }

    fn tell(&mut self, right: bool, answer: &str, what: &str) -> io::Result<()> {
        *(if right { &mut self.passed } else { &mut self.failed }) += 1;
        let mark = if right { '✓' } else { '✗' };
        writeln!(self.out, "  {mark} {answer:<24} {what}")
    }

    fn step(&mut self, step: &Step) -> io::Result<()> {
        match self.send(&step.request) {
            Ok(answer) => {
                let right =
                    answer.status == step.status && answer.code() == step.code && (step.holds)(&answer);
                self.tell(right, &told(&answer), step.what)?;
                if step.shows_identity {
                    self.identity(&answer)?;
                }
                if !right {
                    writeln!(
                        self.out,
                        "    expected {} {}; got {}",
                        step.status,
                        step.code,
                        answer.masked()
                    )?;
                }
                Ok(())
            }
            Err(error) => self.tell(false, "no answer", &format!("{}: {error}", step.what)),
        }
    }

    /// The identity headers that reached the API.
    fn identity(&mut self, answer: &Answer) -> io::Result<()> {
        for (name, value) in answer.body["identity_headers"].as_object().into_iter().flatten() {
            writeln!(self.out, "      {name}: {}", value.as_str().unwrap_or_default())?;
        }
        Ok(())
    }

    /// Whether what is out of sight cannot be told apart.
    fn same_answer(&mut self) -> io::Result<()> {
        let mut answers = Vec::new();
        for step in OUT_OF_SIGHT.steps {
            answers.push(self.send(&step.request)?.masked());
        }
        let right = answers.windows(2).all(|pair| pair[0] == pair[1]);
        self.tell(right, "same bytes", "all three, but for date and request id")
    }

    /// Revokes a key in its file while the gateway serves.
    fn revocation(&mut self) -> Result<(), DemoError> {
        let before = self.send(&LEAVING)?;
        self.tell(before.status == 200, &told(&before), "a key works")?;
        let path = self.demo.folder().join(files::KEYS);
        let revoked = revoke(&read_file(&path)?, Holder::Leaving.id(), SystemClock.now())?;
        replace_file(&path, &revoked)?;
        let written = monotonic();
        let mut answer = self.send(&LEAVING)?;
        while answer.status == 200 && written.elapsed() < REVOCATION_PATIENCE {
            answer = self.send(&LEAVING)?;
        }
        let what = format!("refused {} ms after its entry in keys.yaml was marked", milliseconds(written));
        self.tell(answer.code() == "key_revoked", &told(&answer), &what)?;
        Ok(())
    }
}

fn told(answer: &Answer) -> String {
    format!("{} {}", answer.status, answer.code())
}

fn milliseconds(since: Instant) -> u128 {
    since.elapsed().as_millis()
}

/// The key file `text` in which the key `id` is revoked at `now`, and nothing else differs.
fn revoke(text: &str, id: &str, now: Timestamp) -> Result<String, DemoError> {
    let field = |name| [Way::Key("keys"), Way::Where { key: "id", is: id }, Way::Key(name)];
    let told = |error: EditError| DemoError(error.to_string());
    let mut editor = Editor::new(text.as_bytes(), &Limits::default()).map_err(told)?;
    editor.set(&field("revoked_at"), NewValue::from(format!("{now:.0}").as_str())).map_err(told)?;
    editor.set(&field("revoked_reason"), NewValue::from("the demo showed it")).map_err(told)?;
    Ok(editor.into_text())
}
