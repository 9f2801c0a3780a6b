//! What to say of what is refused: saphyr's words are for those who write parsers.

use saphyr_parser::ScanError;

use super::problem::{Place, Problem, shown};

pub(super) fn anchor(place: Place) -> Problem {
    Problem::new(place, "anchors (`&name`) are not read", "write the value out where it is used")
}

pub(super) fn alias(place: Place) -> Problem {
    Problem::new(
        place,
        "aliases (`*name`) are not read",
        "write the value out; a text that begins with `*` goes in quotes",
    )
}

pub(super) fn tag(place: Place) -> Problem {
    Problem::new(
        place,
        "tags (`!name`) are not read",
        "remove the tag; a text that begins with `!` goes in quotes",
    )
}

pub(super) fn merge_key(place: Place) -> Problem {
    Problem::new(place, "merge keys (`<<`) are not read", "write the merged entries out")
}

pub(super) fn complex_key(place: Place) -> Problem {
    Problem::new(
        place,
        "a list or mapping is used as a key",
        "use a text as key; put text in braces in quotes",
    )
}

pub(super) fn null_key(place: Place) -> Problem {
    Problem::new(place, "a key is empty or null", "name the key; if it is really `null`, put it in quotes")
}

pub(super) fn bool_key(place: Place, key: &str) -> Problem {
    Problem::new(place, format!("the key {} is not a text", shown(key)), "put the key in quotes")
}

pub(super) fn duplicate_key(place: Place, first: Place, key: &str) -> Problem {
    Problem::new(
        place,
        format!("the key {} stands twice; first at {first}", shown(key)),
        "remove or rename one of them",
    )
}

/// `error` at `place`, where `read` is the text before it and `rest` what follows.
pub(super) fn error(error: &ScanError, place: Place, read: &str, rest: &str) -> Problem {
    let info = error.info();
    if info.contains("unknown anchor") {
        return alias(place);
    }
    if info.contains("handle wasn't declared") {
        return tag(place);
    }
    if read.ends_with('$') && rest.starts_with('{') {
        let message = "inside brackets and braces, `${` is no text";
        return Problem::new(place, message, "put `${…}` in quotes, or the value on a line of its own");
    }
    if rest.starts_with('\t') && !info.contains("tab") {
        return tab(place);
    }
    let known = SAYINGS.iter().find(|(part, ..)| info.contains(part));
    let (message, remedy) =
        known.map_or((info, "correct the line, or the one before it"), |&(_, m, r)| (m, r));
    Problem::new(place, message, remedy)
}

fn tab(place: Place) -> Problem {
    Problem::new(place, "a tab is used as indentation", "indent with spaces")
}

/// Part of saphyr's message, what is wrong, what would be right. The first that matches counts.
const SAYINGS: &[(&str, &str, &str)] = &[
    ("found a tab", "a tab is used as indentation", "indent with spaces"),
    ("tab", "a tab is used as indentation", "indent with spaces"),
    (
        "unexpected end of stream",
        "a quote is opened and never closed",
        "close it with the same quote; inside single quotes, write ' as ''",
    ),
    (
        "unexpected document indicator",
        "a quote is not closed before the end of the document",
        "close it with the same quote",
    ),
    (
        "quoted scalar, found unknown escape",
        "this escape is not known in double quotes",
        "use single quotes, or write \\\\ for a backslash",
    ),
    ("hexadecimal number", "this escape needs hexadecimal digits", "write \\x41, \\u0041 or \\U00000041"),
    (
        "invalid Unicode character escape",
        "this escape is no character",
        "write the number of a Unicode character",
    ),
    (
        "trailing content after double-quoted",
        "text follows a closing quote",
        "put all of the value in the quotes",
    ),
    (
        "quoted scalar",
        "a quote is not closed on its line, and the next is not indented",
        "close the quote, or indent the lines of the value more than its key",
    ),
    (
        "mapping values are not allowed",
        "a `:` stands where no key can be",
        "put a value that contains `: ` in quotes, or correct the indentation",
    ),
    (
        "illegal placement of ':'",
        "a `:` stands where no key can be",
        "write `name: value` on one line, and close the brackets above",
    ),
    ("':' must be followed", "a `:` is not followed by a space", "write `name: value`"),
    ("':' may not precede", "a `:` is not followed by a space", "write `name: value`"),
    (
        "did not find expected ',' or '}'",
        "a mapping in braces is not closed or lacks a comma",
        "write {a: 1, b: 2}",
    ),
    ("expected ',' or ']'", "a list in brackets is not closed or lacks a comma", "write [a, b]"),
    (
        "misplaced bracket",
        "a bracket or brace closes what is not open",
        "remove it, or put text with brackets in quotes",
    ),
    (
        "invalid indentation in flow",
        "a bracketed collection is not indented",
        "indent its lines more than the key",
    ),
    ("unexpected end of plain scalar", "a value is missing or misplaced", "put special characters in quotes"),
    ("recursion limit", "too many brackets inside each other", "nest them less deeply"),
    (
        "simple key expect",
        "this line or the one above is neither `name: value` nor `- item`",
        "add the `:` after the key, or indent the line to continue the value above",
    ),
    (
        "did not find expected key",
        "this line does not fit the mapping above it",
        "align it with the keys above, or put the value above in quotes",
    ),
    (
        "did not find expected '-'",
        "this line does not fit the list above it",
        "begin it with `- `, aligned with the items above",
    ),
    (
        "did not find expected node content",
        "a value is missing here",
        "write a value; text with special characters goes in quotes",
    ),
    (
        "block sequence entries are not allowed",
        "a `- ` stands where no list can be",
        "begin the list on a new line",
    ),
    ("\"-\" is only valid", "a `- ` stands inside brackets", "separate the items by commas only"),
    ("cannot start with '-'", "a `-` stands alone inside brackets", "separate the items by commas only"),
    ("'-' must be followed", "a `-` is not followed by a space", "write `- item`"),
    (
        "mapping keys are not allowed",
        "a `? ` stands where no key can be",
        "put text that begins with ? in quotes",
    ),
    ("invalid indentation", "the indentation fits no line above", "align the line with one above"),
    (
        "wrongly indented line in block",
        "a line of the block text is indented too little",
        "indent it as the first line",
    ),
    ("indentation indicator", "an indentation of 0 is given to a block text", "use 1 to 9, or leave it out"),
    ("block scalar", "text follows `|` or `>`", "begin the block text on the next line"),
    (
        "comment intercepting",
        "a comment stands inside a text of several lines",
        "move the comment, or quote the text",
    ),
    (
        "comments must be separated",
        "a `#` follows directly",
        "put a space before a comment; quote text with `#`",
    ),
    ("unexpected character", "a value begins with a reserved character (% @ `)", "put the value in quotes"),
    ("byte order mark", "a byte order mark stands inside the document", "remove it"),
    ("document end marker", "text follows the end marker `...`", "put it on a line of its own, or remove it"),
    ("<document start>", "text follows the end of the document", "keep one document in a file"),
    (
        "directive",
        "a directive (`%…`) is wrong or misplaced",
        "remove it; text that begins with % goes in quotes",
    ),
    ("anchor", "anchors and aliases are not read", "put text that begins with & or * in quotes"),
    ("tag", "tags are not read", "put text that begins with ! in quotes"),
    ("unprintable", "a character that cannot stand in YAML", "remove it"),
    ("expected whitespace", "a space is missing here", "separate the parts by a space"),
];
