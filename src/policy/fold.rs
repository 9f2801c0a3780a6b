//! Header names as the laxest back end might read them: lower case, every byte outside `[a-z0-9]` as `-`, so that
//! `X_Auth_User`, `x.auth.user` and `X-Auth-User` are one name (CGI and WSGI make them so).

/// The fold of one byte of a header name.
pub fn fold_byte(byte: u8) -> u8 {
    match byte {
        b'A'..=b'Z' => byte | 0x20,
        b'a'..=b'z' | b'0'..=b'9' => byte,
        _ => b'-',
    }
}

/// Whether `name` folds to `folded`, which is its own fold.
pub fn folds_to(name: &[u8], folded: &str) -> bool {
    name.len() == folded.len()
        && name.iter().zip(folded.as_bytes()).all(|(byte, known)| fold_byte(*byte) == *known)
}

/// Whether two header names, in any spelling, fold to the same.
pub fn same_fold(name: &[u8], other: &[u8]) -> bool {
    name.len() == other.len() && name.iter().zip(other).all(|(a, b)| fold_byte(*a) == fold_byte(*b))
}

/// Header names that only the gateway may set, folded; a name that goes on after one with `-…` belongs to it too.
#[derive(Debug, Clone, Default)]
pub struct ManagedNames {
    /// Sorted folded names.
    names: Vec<Box<str>>,
}

impl ManagedNames {
    /// The set of `names`, in any spelling.
    pub fn new<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Self {
        let mut names: Vec<Box<str>> = names
            .into_iter()
            .map(|name| {
                name.as_ref().bytes().map(|byte| char::from(fold_byte(byte))).collect::<String>().into()
            })
            .collect();
        names.sort_unstable();
        names.dedup();
        Self { names }
    }

    /// Whether `name` is one of the names in some spelling, or one of them followed by `-…`.
    ///
    /// Cost: the length of the name times the number of names that share its first byte; no heap memory.
    pub fn contains(&self, name: &[u8]) -> bool {
        let Some(first) = name.first().map(|byte| fold_byte(*byte)) else { return false };
        let from = self.names.partition_point(|known| known.as_bytes()[0] < first);
        self.names[from..].iter().take_while(|known| known.as_bytes()[0] == first).any(|known| {
            match name.get(..known.len()) {
                Some(head) => {
                    folds_to(head, known) && name.get(known.len()).is_none_or(|byte| fold_byte(*byte) == b'-')
                }
                None => false,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_managed() {
        let managed = ManagedNames::new(["X-Auth-User", "x-auth-org", "Forwarded"]);
        for name in [
            "X-Auth-User",
            "x_auth_user",
            "X.Auth-User",
            "X-AUTH-USER",
            "x-auth-user-id",
            "x-auth-user_2",
            "forwarded",
            "FORWARDED",
            "Forwarded-X",
            "x-auth-org.",
        ] {
            assert!(managed.contains(name.as_bytes()), "{name}");
        }
        for name in ["", "x-auth", "x-auth-users", "x-auth-", "forwarde", "accept"] {
            assert!(!managed.contains(name.as_bytes()), "{name}");
        }
    }
}
