//! `keygate keys export`.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use tempfile::NamedTempFile;

use crate::{
    cli::{
        Exit,
        key_store::{KeyStore, Opened, Stopped, stopped, wrong_input},
        output::{counted, json_line, tell},
        progress::Progress,
    },
    control::key_export::{self, ExportSink, NotExported},
    keys::record::{KeyRecord, Organization, Person},
    store::{key_file_writer::KeyFileWriter, record_yaml},
    yaml::{Limits, edit::NewValue},
};

/// Write all keys, people and organizations, as a key file or as lines of JSON. Digests only: nobody has the secrets.
#[derive(Debug, Args)]
#[command(after_help = "Example: keygate keys export --database sqlite:keygate.db --to keys.yaml")]
pub(super) struct Export {
    #[command(flatten)]
    store: KeyStore,
    /// The file to write, with mode 0600 [default: standard output].
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Replace FILE if it is there.
    #[arg(long, requires = "to")]
    force: bool,
    /// How to write them.
    #[arg(long, value_enum, default_value_t)]
    output: ExportOutput,
}

/// What an export is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum ExportOutput {
    /// A key file, which `keys import` takes into any store.
    #[default]
    Yaml,
    /// One object a line, each with `record`: organization, person or key.
    Json,
}

impl Export {
    pub(super) async fn run(self) -> Result<Exit, Stopped> {
        let Some(to) = &self.to else {
            let opened = self.store.open().await?;
            return match self.write(&opened, io::stdout().lock()).await {
                Ok(_) => Ok(Exit::Done),
                Err(error) => Err(tell_not_exported(&error, "standard output")),
            };
        };
        if to.symlink_metadata().is_ok() && !self.force {
            return Err(wrong_input(&format!("{} is there already; --force replaces it", to.display())));
        }
        let opened = self.store.open().await?;
        let done = self.write_to(&opened, to).await.map_err(|error| {
            let exit = tell_not_exported(&error, &to.display().to_string());
            tell("nothing was written");
            exit
        })?;
        let keys = counted(usize::try_from(done.keys).unwrap_or(usize::MAX), "key", "keys");
        tell(&format!("{keys} with their people and organizations in {}", to.display()));
        if self.output == ExportOutput::Yaml && done.bytes > Limits::default().bytes as u64 {
            tell(&format!(
                "warning: this is larger than the {} MiB that a key file may have",
                Limits::default().bytes >> 20
            ));
        }
        Ok(Exit::Done)
    }

    /// Written beside and moved, so that there is never half a file.
    async fn write_to(&self, opened: &Opened, to: &Path) -> Result<Written, NotExported> {
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = NamedTempFile::new_in(folder).map_err(NotExported::Sink)?;
        let written = self.write(opened, file.as_file_mut()).await?;
        let keep = || -> io::Result<()> {
            file.as_file().sync_all()?;
            if self.force {
                file.persist(to)?
            } else {
                file.persist_noclobber(to)?
            };
            File::open(folder)?.sync_all()
        };
        keep().map_err(NotExported::Sink)?;
        Ok(written)
    }

    async fn write(&self, opened: &Opened, out: impl Write) -> Result<Written, NotExported> {
        let mut out = Counted { out: BufWriter::with_capacity(1 << 16, out), bytes: 0 };
        let mut progress = Progress::new("keys read");
        let show = &mut |done, all| progress.show(done, all);
        let (mut yaml, mut json);
        let sink: &mut dyn ExportSink = match self.output {
            ExportOutput::Yaml => {
                yaml = KeyFileWriter::new(&mut out);
                &mut yaml
            }
            ExportOutput::Json => {
                json = JsonSink(&mut out);
                &mut json
            }
        };
        let keys = key_export::export(&opened.administration, sink, show).await;
        progress.end();
        let keys = keys?;
        out.flush().map_err(NotExported::Sink)?;
        Ok(Written { keys, bytes: out.bytes })
    }
}

/// How much was written.
struct Written {
    keys: u64,
    bytes: u64,
}

fn tell_not_exported(error: &NotExported, to: &str) -> Exit {
    match error {
        NotExported::Store(error) => stopped(error),
        NotExported::Sink(error) => {
            tell(&format!("{to}: {error}"));
            Exit::Failed
        }
    }
}

/// Counts the bytes that pass.
struct Counted<W> {
    out: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Lines of JSON.
struct JsonSink<W>(W);

impl<W: Write> JsonSink<W> {
    fn lines(&mut self, kind: &'static str, records: impl Iterator<Item = NewValue>) -> io::Result<()> {
        for record in records {
            writeln!(self.0, "{}", json_line(&Line { kind, record: &record }))?;
        }
        Ok(())
    }
}

impl<W: Write> ExportSink for JsonSink<W> {
    fn begin(&mut self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn organizations(&mut self, organizations: &[Organization]) -> io::Result<()> {
        self.lines("organization", organizations.iter().map(record_yaml::organization))
    }

    fn people(&mut self, people: &[Person]) -> io::Result<()> {
        self.lines("person", people.iter().map(record_yaml::person))
    }

    fn keys(&mut self, keys: &[KeyRecord]) -> io::Result<()> {
        self.lines("key", keys.iter().map(record_yaml::key))
    }

    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A record as JSON, with the fields of a key file.
struct Line<'r> {
    kind: &'static str,
    record: &'r NewValue,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("record", self.kind)?;
        if let NewValue::Map(fields) = self.record {
            for (name, value) in fields {
                map.serialize_entry(name, &Json(value))?;
            }
        }
        map.end()
    }
}

struct Json<'v>(&'v NewValue);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            NewValue::Str(text) => serializer.serialize_str(text),
            NewValue::Int(number) => serializer.serialize_i64(*number),
            NewValue::Bool(value) => serializer.serialize_bool(*value),
            NewValue::List(items) => serializer.collect_seq(items.iter().map(Json)),
            NewValue::Map(entries) => {
                serializer.collect_map(entries.iter().map(|(name, value)| (name, Json(value))))
            }
        }
    }
}
