//! Arbitrary input against what a stranger, an operator or a client writes: paths, credentials, heads, key files and
//! configs. An ordinary test tries a few thousand; `scripts/test --full` goes on.

use std::{net::IpAddr, num::NonZeroUsize, path::Path};

use bolero::check;
use jiff::Timestamp;
use keygate::{
    config::{self, Surroundings},
    gate::{Request, Unlimited, Verdict, judge},
    http1::parse::{HeadLimits, Parsed, parse_request},
    keys::credential::{Credential, CredentialSources, is_secret},
    message::{Field, Fields},
    policy::path::RequestPath,
    store::file::parse_key_file,
    yaml::Limits,
};

use crate::population;

#[test]
fn fuzz_paths() {
    check!().for_each(|tail: &[u8]| {
        for start in [&b"/"[..], b"/api/%2", b"/a/..", b"/%ef%bc"] {
            let path = [start, tail].concat();
            let Ok(parsed) = RequestPath::parse(&path) else { continue };
            assert_eq!(parsed.as_str().as_bytes(), path, "what was parsed is what is forwarded");
            let fold = parsed.fold();
            assert!(!fold.windows(2).any(|pair| pair == b"//"));
            assert!(!fold.split(|byte| *byte == b'/').any(|segment| matches!(segment, b"." | b"..")));
        }
    });
}

#[test]
fn fuzz_credentials() {
    let sources = CredentialSources::new(&["authorization", "x-api-key"]).unwrap();
    check!().for_each(|value: &[u8]| {
        let bearer = [b"Bearer ", value].concat();
        for (name, value) in
            [(&b"Authorization"[..], value), (b"authorization", &bearer), (b"X-Api-Key", value)]
        {
            let fields = Fields::from_iter([Field { name, value }]);
            match Credential::from_fields(&fields, &sources) {
                Credential::Presented(secret) => assert!(is_secret(secret) && value.ends_with(secret)),
                Credential::Malformed => {}
                Credential::Absent | Credential::Several => unreachable!("there is exactly one"),
            }
        }
    });
}

#[test]
fn fuzz_heads_never_gain_what_their_key_lacks() {
    let config = population::config();
    let snapshot = population::snapshot(&config, 10);
    let client = IpAddr::from([192, 0, 2, 1]);
    let now = Timestamp::UNIX_EPOCH;
    check!().for_each(|tail: &[u8]| {
        let key = population::secret(1);
        for start in
            ["GET /", "GET /api/v1/projects/project1/", "PUT /api/v1/projects/project2", "OPTIONS /healthz"]
        {
            let head = format!(" HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\n\r\n");
            let in_target = [start.as_bytes(), tail, head.as_bytes()].concat();
            let in_fields = [
                format!("{start} HTTP/1.1\r\nAuthorization: Bearer {key}\r\nHost: ").as_bytes(),
                tail,
                b"\r\n\r\n",
            ]
            .concat();
            for bytes in [in_target, in_fields] {
                let Ok(Parsed::Complete { head, .. }) = parse_request(&bytes, &HeadLimits::default()) else {
                    continue;
                };
                let Ok(request) = Request::read(&head, &config.policy) else { continue };
                let judgement = judge(&config.policy, Some(&snapshot), &request, client, now, &mut Unlimited);
                if let Ok(Verdict::Forward(permit)) = &judgement.verdict
                    && let Some(project) = permit.project()
                {
                    assert_eq!(project, "project1", "the key sees no other project");
                    let target = String::from_utf8_lossy(head.target);
                    assert!(target.contains("/api/v1/projects/project1"), "{target}");
                }
            }
        }
    });
}

#[test]
fn fuzz_key_files() {
    let whole = crate::fixture::keys();
    check!().for_each(|noise: &[u8]| {
        let _ = parse_key_file(Path::new("keys.yaml"), noise, &Limits::default());
        let at = noise.iter().map(|byte| usize::from(*byte)).sum::<usize>() % whole.len();
        let (head, tail) = whole.as_bytes().split_at(at);
        for text in [[head, noise, tail].concat(), [head, noise].concat()] {
            if let Err(wrong) = parse_key_file(Path::new("keys.yaml"), &text, &Limits::default()) {
                assert!(!wrong.problems.is_empty(), "a wrong file has a problem");
            }
        }
    });
}

#[test]
fn fuzz_configs() {
    let whole = include_str!("../../config/full.yaml");
    check!().for_each(|noise: &[u8]| {
        let surroundings = Surroundings {
            variable: &|_| None,
            read: &|_, _| Err(std::io::ErrorKind::NotFound.into()),
            exposure: &|_| None,
            via: "keygate-test",
            cores: NonZeroUsize::MIN,
        };
        let at = noise.iter().map(|byte| usize::from(*byte) * 31).sum::<usize>() % whole.len();
        let (head, tail) = whole.as_bytes().split_at(at);
        for text in [noise.to_vec(), [head, noise, tail].concat()] {
            if let Err(problems) = config::parse(Path::new("keygate.yaml"), &text, &surroundings).result {
                assert!(!problems.is_empty(), "a wrong config has a problem");
            }
        }
    });
}
