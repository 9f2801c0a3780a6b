//! What a browser calls itself, in words that its user knows.

/// `Firefox on Linux` from a User-Agent field (RFC 9110 §10.1.5), or its beginning where it is none that is known. It says
/// what it likes: this is to recognise a session by, and proves nothing.
pub fn browser(agent: &str) -> String {
    // Each names those after it too.
    const BROWSERS: [(&str, &str); 8] = [
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("HeadlessChrome/", "Chromium"),
        ("Chromium/", "Chromium"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ];
    const SYSTEMS: [(&str, &str); 7] = [
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
        ("CrOS", "ChromeOS"),
        ("Linux", "Linux"),
    ];
    let known = |list: &[(&str, &'static str)]| {
        list.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name)
    };
    match (known(&BROWSERS), known(&SYSTEMS)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(browser), None) => browser.to_owned(),
        (None, _) if agent.trim().is_empty() => "unknown browser".to_owned(),
        (None, _) => agent.chars().take(40).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_named_as_their_users_know_them() {
        const WEBKIT: &str = "AppleWebKit/537.36 (KHTML, like Gecko)";
        for (agent, name) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0".to_owned(),
                "Firefox on Linux",
            ),
            (
                format!("Mozilla/5.0 (Windows NT 10.0) {WEBKIT} Chrome/126.0 Safari/537.36 Edg/126.0"),
                "Edge on Windows",
            ),
            (
                format!("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15) {WEBKIT} Version/17.4 Safari/605.1"),
                "Safari on macOS",
            ),
            (
                format!("Mozilla/5.0 (Linux; Android 14) {WEBKIT} Chrome/126.0 Mobile Safari/537.36"),
                "Chrome on Android",
            ),
            ("curl/8.5.0".to_owned(), "curl"),
            (String::new(), "unknown browser"),
            ("<script>alert(1)</script>".to_owned(), "<script>alert(1)</script>"),
        ] {
            assert_eq!(browser(&agent), name);
        }
    }
}
