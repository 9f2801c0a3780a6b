//! Plain scalars under the core schema (YAML 1.2.2 §10.3.2): `yes` and `on` are strings.

/// What a scalar means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'d> {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number; `None` where it exceeds an `i128`.
    Integer(Option<i128>),
    /// A number with a fraction or exponent, an infinity, or not a number.
    Float(f64),
    /// Anything else, and everything quoted.
    Text(&'d str),
}

/// The meaning of the plain scalar `text`. Cost: one look at most first bytes; linear for numbers.
pub(super) fn resolve(text: &str) -> Value<'_> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ if text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first)) => number(text),
        _ => Value::Text(text),
    }
}

fn number(text: &str) -> Value<'_> {
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(text, digits, 8);
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(text, digits, 16);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    match unsigned {
        ".inf" | ".Inf" | ".INF" if text.starts_with('-') => return Value::Float(f64::NEG_INFINITY),
        ".inf" | ".Inf" | ".INF" => return Value::Float(f64::INFINITY),
        _ if matches!(text, ".nan" | ".NaN" | ".NAN") => return Value::Float(f64::NAN),
        _ => {}
    }
    if !unsigned.is_empty() && unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return Value::Integer(text.parse().ok());
    }
    if is_float(unsigned) { text.parse().map_or(Value::Text(text), Value::Float) } else { Value::Text(text) }
}

fn radix<'d>(text: &'d str, digits: &str, radix: u32) -> Value<'d> {
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Value::Text(text);
    }
    Value::Integer(i128::from_str_radix(digits, radix).ok())
}

/// `(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(text);
    let mut rest = &text[whole..];
    if let Some(fraction) = rest.strip_prefix('.') {
        let count = digits(fraction);
        if whole + count == 0 {
            return false;
        }
        rest = &fraction[count..];
    } else if whole == 0 {
        return false;
    }
    let Some(exponent) = rest.strip_prefix(['e', 'E']) else { return rest.is_empty() };
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    !exponent.is_empty() && digits(exponent) == exponent.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_schema_decides_what_a_plain_scalar_means() {
        let table = [
            ("", Value::Null),
            ("~", Value::Null),
            ("null", Value::Null),
            ("nULL", Value::Text("nULL")),
            ("true", Value::Bool(true)),
            ("FALSE", Value::Bool(false)),
            ("yes", Value::Text("yes")),
            ("on", Value::Text("on")),
            ("0", Value::Integer(Some(0))),
            ("-12", Value::Integer(Some(-12))),
            ("+7", Value::Integer(Some(7))),
            ("010", Value::Integer(Some(10))),
            ("0o17", Value::Integer(Some(15))),
            ("0o8", Value::Text("0o8")),
            ("0xfF", Value::Integer(Some(255))),
            ("0x", Value::Text("0x")),
            ("99999999999999999999999999999999999999999999", Value::Integer(None)),
            ("1.5", Value::Float(1.5)),
            ("1.", Value::Float(1.0)),
            (".5", Value::Float(0.5)),
            ("-1e3", Value::Float(-1000.0)),
            ("1e", Value::Text("1e")),
            (".", Value::Text(".")),
            ("-", Value::Text("-")),
            ("+", Value::Text("+")),
            ("-.inf", Value::Float(f64::NEG_INFINITY)),
            ("+.INF", Value::Float(f64::INFINITY)),
            ("-.nan", Value::Text("-.nan")),
            ("1_000", Value::Text("1_000")),
            ("2026-11-21T10:00:00Z", Value::Text("2026-11-21T10:00:00Z")),
            ("127.0.0.1:8080", Value::Text("127.0.0.1:8080")),
            ("1.2.3", Value::Text("1.2.3")),
            ("12:30", Value::Text("12:30")),
        ];
        for (text, value) in table {
            assert_eq!(resolve(text), value, "{text:?}");
        }
        assert!(matches!(resolve(".nan"), Value::Float(float) if float.is_nan()));
    }
}
