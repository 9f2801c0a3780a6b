//! `keygate demo --once`: takes every step over TCP and says of each whether its answer was right.

use std::io;

use super::{
    Demo, DemoError,
    exchange::{Answer, Request},
    socket::{Message, Socket},
    steps::{CHAPTERS, Change, DEMOTION, OUT_OF_SIGHT, REVOCATION, Step},
};

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
    walk.revocation()?;
    walk.demotion()?;
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

    /// Revokes a key whose WebSocket is open.
    fn revocation(&mut self) -> Result<(), DemoError> {
        let Change { title, before, after, .. } = &REVOCATION;
        writeln!(self.out, "{title}")?;
        let mut socket = Socket::open(&before.request, self.demo.gateway, &self.demo.keyring)?;
        let first = socket.message()?;
        let what = match &first {
            Message::Text(event) => format!("{}; its first message: {event}", before.what),
            Message::Closed(code, why) => format!("it was closed at once: {code} {why}"),
        };
        self.tell(matches!(first, Message::Text(_)), "101", &what)?;
        self.command(&REVOCATION, ", 1 open stream closed")?;
        let what = "the close frame of the WebSocket";
        match socket.closed() {
            Ok((code, why)) => {
                let right = (code, why.as_str()) == (1008, "API key revoked");
                self.tell(right, &format!("{code} {why}"), what)?;
            }
            Err(error) => self.tell(false, "none", &format!("{what}: {error}"))?,
        }
        Ok(self.step(after)?)
    }

    /// Gives a person a role that permits less.
    fn demotion(&mut self) -> Result<(), DemoError> {
        let Change { title, before, after, .. } = &DEMOTION;
        writeln!(self.out, "{title}")?;
        self.step(before)?;
        self.command(&DEMOTION, "")?;
        Ok(self.step(after)?)
    }

    /// Runs the command of `change` and shows what it tells; right is a receipt of the only replica that ends in `rest`.
    fn command(&mut self, change: &Change, rest: &str) -> Result<(), DemoError> {
        writeln!(self.out, "    $ {}", change.command.line())?;
        let ended = change.command.run(self.demo.folder())?;
        for line in ended.told.lines() {
            writeln!(self.out, "      {line}")?;
        }
        let receipt = ended.told.lines().find(|line| line.contains(" in force on 1/1 replicas"));
        let right = ended.code == Some(0) && receipt.is_some_and(|receipt| receipt.ends_with(rest));
        let code = ended.code.map_or_else(|| "no exit code".to_owned(), |code| format!("exit code {code}"));
        self.tell(right, &code, "it is in force, and the receipt says where")?;
        Ok(())
    }
}

fn told(answer: &Answer) -> String {
    format!("{} {}", answer.status, answer.code())
}
