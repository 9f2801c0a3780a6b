//! Comma-separated values (RFC 4180): quotes, doubled quotes inside them, line breaks of either kind.

/// A record: the line it begins on, from 1, and its fields.
pub(super) type Record = (usize, Vec<String>);

/// The records of `text`; empty lines are none. Cost: one pass.
///
/// # Errors
/// The line, and what is wrong there.
pub(super) fn records(text: &str) -> Result<Vec<Record>, (usize, &'static str)> {
    let mut records = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while !rest.is_empty() {
        let begin = line;
        let mut fields = Vec::new();
        loop {
            let field = if rest.starts_with('"') { quoted(rest) } else { plain(rest) };
            let (field, after) = field.map_err(|what| (line, what))?;
            line += rest[..rest.len() - after.len()].matches('\n').count();
            fields.push(field);
            if let Some(next) = after.strip_prefix(',') {
                rest = next;
            } else {
                rest = after;
                break;
            }
        }
        if !rest.is_empty() {
            rest = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix('\n')).unwrap_or(rest);
            line += 1;
        }
        if fields.len() > 1 || fields.iter().any(|field| !field.is_empty()) {
            records.push((begin, fields));
        }
    }
    Ok(records)
}

/// A field up to the comma or the end of its line, and the rest.
fn plain(text: &str) -> Result<(String, &str), &'static str> {
    let end = text.find([',', '\n', '\r']).unwrap_or(text.len());
    let (field, rest) = text.split_at(end);
    if field.contains('"') {
        return Err("a quote stands inside a field that does not begin with one; put all of it in quotes");
    }
    ended(field.to_owned(), rest)
}

fn quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut field = String::new();
    let mut rest = &text[1..];
    loop {
        let end = rest.find('"').ok_or("a quote is not closed")?;
        field.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None => return ended(field, rest),
        }
    }
}

fn ended(field: String, rest: &str) -> Result<(String, &str), &'static str> {
    let is_end = rest.is_empty() || rest.starts_with([',', '\n']) || rest.starts_with("\r\n");
    if is_end { Ok((field, rest)) } else { Err("text follows a field; separate fields by commas") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn records_know_their_lines() {
        let text = "a,b\r\n\r\n\"x, \"\"y\"\"\",\"1\n2\"\nlast,";
        let expected = [
            (1, vec!["a".to_owned(), "b".to_owned()]),
            (3, vec!["x, \"y\"".to_owned(), "1\n2".to_owned()]),
            (5, vec!["last".to_owned(), String::new()]),
        ];
        assert_eq!(records(text).as_deref(), Ok(&expected[..]));
        for (wrong, line) in [("a\n\"b", 2), ("a\nb\"c", 2), ("\"a\"b", 1), ("a\rb", 1)] {
            assert_eq!(records(wrong).map_err(|(line, _)| line), Err(line), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_quoted_comes_back(rows in proptest::collection::vec(
            proptest::collection::vec("[a\",\n\r é]{0,6}", 2..4), 0..5
        )) {
            let quote = |field: &String| format!("\"{}\"", field.replace('"', "\"\""));
            let line = |row: &Vec<String>| row.iter().map(quote).collect::<Vec<_>>().join(",") + "\r\n";
            let text: String = rows.iter().map(line).collect();
            let read: Vec<_> = records(&text).unwrap().into_iter().map(|(_, fields)| fields).collect();
            prop_assert_eq!(read, rows);
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}|[a\",\r\n]{0,40}") {
            let _ = records(&text);
        }
    }
}
