//! Where a way to the verdict differs from the gate, and why: `tests/decisions/doors.yaml`, kept true by
//! [`super::conformance`].

use std::{collections::BTreeSet, fs};

use keygate::yaml::{Limits, Node, parse};

use super::conformance::Way;
use crate::decisions;

/// How it differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The gateway would forward it, and here it is refused.
    RefusedInstead,
    /// The gateway refuses it, and the proxy repaired it before it asked: what goes on is what was judged.
    GoesOnInstead,
    /// Refused by both, in other words.
    OtherRefusal,
}

/// A case that one way treats differently.
pub(super) type Difference = (Way, Kind, String);

/// Those of `list`, a file in `tests/`.
pub(super) fn listed(list: &str) -> BTreeSet<Difference> {
    let text = fs::read(decisions::tests().join("decisions/doors.yaml")).unwrap();
    let document = parse(&text, &Limits::default()).unwrap();
    let text_of =
        |node: Node<'_>, key: &str| node.get(key).and_then(Node::text).unwrap_or_default().to_owned();
    let of_list = document.root().items().filter(|item| text_of(*item, "list") == list);
    let mut all = BTreeSet::new();
    for item in of_list {
        assert!(!text_of(item, "why").is_empty(), "a difference has its reason");
        let way = named(&Way::ALL, &text_of(item, "way"));
        let kind =
            named(&[Kind::RefusedInstead, Kind::GoesOnInstead, Kind::OtherRefusal], &text_of(item, "kind"));
        let cases = item.get("cases").unwrap();
        all.extend(cases.items().map(|case| (way, kind, case.text().unwrap().to_owned())));
    }
    all
}

fn named<T: Copy + std::fmt::Debug>(all: &[T], name: &str) -> T {
    *all.iter()
        .find(|one| format!("{one:?}") == name)
        .unwrap_or_else(|| panic!("{name:?} is none of {all:?}"))
}
