//! Writes a new key file record by record: one that shows where it was cut short.

use std::io::{self, Write};

use super::record_yaml;
use crate::{
    keys::record::{KeyRecord, Organization, Person},
    yaml::edit::{NewValue, list_item},
};

/// See the module. Records come in the order of the methods.
#[derive(Debug)]
pub struct KeyFileWriter<W> {
    out: W,
    list: &'static str,
}

impl<W: Write> KeyFileWriter<W> {
    /// A file that holds nothing yet.
    pub fn new(out: W) -> Self {
        Self { out, list: "" }
    }

    /// Begins a file that will hold so many keys.
    ///
    /// # Errors
    /// Where it cannot be written; so with the others.
    pub fn begin(&mut self, keys: u64) -> io::Result<()> {
        write!(self.out, "version: 1\ncount: {keys}\n")
    }

    /// More organizations.
    ///
    /// # Errors
    /// As for [`KeyFileWriter::begin`].
    pub fn organizations(&mut self, organizations: &[Organization]) -> io::Result<()> {
        self.items("organizations", organizations.iter().map(record_yaml::organization))
    }

    /// More people.
    ///
    /// # Errors
    /// As for [`KeyFileWriter::begin`].
    pub fn people(&mut self, people: &[Person]) -> io::Result<()> {
        self.items("people", people.iter().map(record_yaml::person))
    }

    /// More keys.
    ///
    /// # Errors
    /// As for [`KeyFileWriter::begin`].
    pub fn keys(&mut self, keys: &[KeyRecord]) -> io::Result<()> {
        self.items("keys", keys.iter().map(record_yaml::key))
    }

    /// Ends the file.
    ///
    /// # Errors
    /// As for [`KeyFileWriter::begin`].
    pub fn end(&mut self) -> io::Result<()> {
        if self.list == "keys" { Ok(()) } else { writeln!(self.out, "keys: []") }
    }

    fn items(&mut self, list: &'static str, items: impl Iterator<Item = NewValue>) -> io::Result<()> {
        for item in items {
            if self.list != list {
                self.list = list;
                writeln!(self.out, "{list}:")?;
            }
            writeln!(self.out, "{}", list_item(&item))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        keys::record::{Name, Revocation},
        store::file::parse_key_file,
        yaml::Limits,
    };

    const KEY: &str = "version: 1\nkeys:\n- {id: a, hash: 'sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad', \
        scopes: [read], projects: all, expires_at: never}\n";

    fn parsed(text: &[u8]) -> Vec<KeyRecord> {
        parse_key_file(Path::new("keys.yaml"), text, &Limits::default()).unwrap().keys
    }

    fn written(keys: &[KeyRecord]) -> Vec<u8> {
        let mut text = Vec::new();
        let mut writer = KeyFileWriter::new(&mut text);
        writer.begin(keys.len() as u64).unwrap();
        writer.keys(keys).unwrap();
        writer.end().unwrap();
        text
    }

    #[test]
    fn no_key_is_a_key_file_too() {
        assert_eq!(written(&[]), b"version: 1\ncount: 0\nkeys: []\n");
        assert!(parsed(&written(&[])).is_empty());
    }

    proptest! {
        #[test]
        fn every_name_and_label_comes_back(texts in proptest::collection::vec("\\PC{1,20}|[-?:,#&*!|>'\"%@` ~a1]{1,8}", 5)) {
            let names: Vec<_> = texts.iter().filter_map(|text| Name::parse(text).ok()).collect();
            prop_assume!(names.len() == 5);
            let [name, label, value, by, reason] = [0, 1, 2, 3, 4].map(|at| names[at].clone());
            let mut keys = parsed(KEY.as_bytes());
            let key = &mut keys[0];
            key.name = Some(name);
            key.labels = [(label, value)].into();
            let at = jiff::Timestamp::UNIX_EPOCH;
            key.revoked = Some(Revocation { at, by: Some(by), reason: Some(reason) });
            prop_assert_eq!(parsed(&written(&keys)), keys);
        }
    }
}
