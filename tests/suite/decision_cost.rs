//! What one decision costs, whatever the number of keys: no heap memory.

use std::net::IpAddr;

use jiff::Timestamp;
use keygate::{
    gate::{Request, Unlimited, Verdict, judge},
    http1::parse::{HeadLimits, Parsed, parse_request},
    limit::{cells::Limits, worker::WorkerLimits},
};

use crate::population;

#[test]
fn a_decision_among_a_million_keys_takes_no_heap_memory() {
    let config = population::config();
    let snapshot = population::snapshot(&config, 1_000_000);
    let client = IpAddr::from([192, 0, 2, 1]);
    let now = Timestamp::now();
    for number in [0, 1, 77_777, 999_999] {
        for (tail, method) in [("", "GET"), ("/tests/42", "POST"), ("/Tests;v=1/a%20b", "PUT")] {
            let text = format!(
                "{method} /api/v1/projects/{}{tail}?page=2 HTTP/1.1\r\nHost: api.example.com\r\n\
                 Authorization: Bearer {}\r\nAccept: */*\r\nUser-Agent: curl/8\r\nContent-Length: 0\r\n\r\n",
                population::project(number),
                population::secret(number),
            );
            let mut forwarded = false;
            let allocated = allocation_counter::measure(|| {
                if let Ok(Parsed::Complete { head, .. }) =
                    parse_request(text.as_bytes(), &HeadLimits::default())
                    && let Ok(request) = Request::read(&head, &config.policy)
                {
                    let judgement =
                        judge(&config.policy, Some(&snapshot), &request, client, now, &mut Unlimited);
                    forwarded = matches!(judgement.verdict, Ok(Verdict::Forward(_)));
                }
            });
            assert!(forwarded, "{text}");
            assert_eq!(allocated.count_total, 0, "{text}");
        }
    }
}

#[test]
fn a_limit_takes_no_heap_memory_once_the_key_was_seen() {
    let config = population::config_with_limits();
    let snapshot = population::snapshot(&config, 1_000);
    let worker = WorkerLimits::new(Limits::default());
    let client = IpAddr::from([192, 0, 2, 1]);
    let text = format!(
        "GET /api/v1/projects/{} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n",
        population::project(7),
        population::secret(7),
    );
    let forwarded = || {
        let mut limits = worker.for_request(client, None);
        let Ok(Parsed::Complete { head, .. }) = parse_request(text.as_bytes(), &HeadLimits::default()) else {
            return false;
        };
        let Ok(request) = Request::read(&head, &config.policy) else { return false };
        let judgement =
            judge(&config.policy, Some(&snapshot), &request, client, Timestamp::now(), &mut limits);
        judgement.allowance.is_some() && judgement.verdict.is_ok()
    };
    assert!(forwarded());
    let mut again = false;
    assert_eq!(allocation_counter::measure(|| again = forwarded()).count_total, 0);
    assert!(again);
}
