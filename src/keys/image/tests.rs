//! Images as a gateway meets them at its start: whole, cut short, changed, of another version or under another config.

use proptest::prelude::*;

use super::{
    super::{
        build::SnapshotBuilder,
        caps::RoleCaps,
        record::{KeyRecord, PlanName, PreviousSecret, Revocation},
        secret::Brand,
        tests::{at, key, org_id, organization, owned_by, person},
    },
    *,
};
use crate::policy::{
    plan::{Plan, Plans},
    scope::{MANAGE, ScopeDefinition, Scopes},
};

const OF: ImageOf = ImageOf { instance: Uuid::from_u128(7), revision: 812 };

fn records() -> Vec<KeyRecord> {
    let mut everything = key("k1", "s1");
    everything.owner = Some(owned_by("ada"));
    everything.organization = Some(org_id("acme"));
    everything.previous = Some(PreviousSecret { digest: KeyDigest::of(b"old"), until: at(50) });
    everything.scopes = vec!["read".into(), "future".into(), MANAGE.into()];
    everything.projects = ProjectSet::only(["alpha", "beta"]);
    (everything.not_before, everything.expires_at) = (Some(at(1)), Some(at(100)));
    everything.addresses = vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
    everything.plan = Some(PlanName::parse("gold").unwrap());
    let mut revoked = key("key_01jd0000000000000000000000", "s2");
    revoked.name = None;
    revoked.revoked = Some(Revocation { at: at(3), by: None, reason: None });
    revoked.owner = Some(owned_by("ghost"));
    vec![everything, revoked]
}

fn policy_of<T>(scopes: &Scopes, then: impl FnOnce(&KeyPolicy<'_>) -> T) -> T {
    let caps = RoleCaps::new(|_| scopes.all());
    then(&KeyPolicy { scopes, role_caps: &caps, brand: &Brand::default(), plans: &Plans::default() })
}

fn snapshot() -> KeySnapshot {
    let mut builder = policy_of(&Scopes::default(), |policy| SnapshotBuilder::new(policy, 0));
    builder.organizations(&[organization("acme", Some(&["alpha"])), organization("globex", Some(&[]))]);
    let mut ada = person("ada", Role::Admin);
    ada.organization = Some(org_id("acme"));
    builder.people(&[ada]);
    for record in records() {
        builder.key(&record);
    }
    builder.finish().unwrap().0.snapshot().clone()
}

fn image() -> Vec<u8> {
    let mut bytes = Vec::new();
    write(OF, at(1000), &snapshot(), &mut bytes).unwrap();
    bytes
}

fn reread(bytes: &[u8]) -> Result<Image, ImageError> {
    policy_of(&Scopes::default(), |policy| read(bytes, policy))
}

fn told(snapshot: &KeySnapshot) -> Vec<String> {
    let asked = ["s1", "old", "s2", "never"].iter().flat_map(|secret| {
        [0, 2, 60, 200].iter().flat_map(move |second| {
            ["192.0.2.1", "2001:db8::1", "10.0.0.1"].iter().map(move |client| (secret, *second, client))
        })
    });
    asked
        .map(|(secret, second, client)| {
            let client = client.parse().unwrap();
            let digest = KeyDigest::of(secret.as_bytes());
            let answer = snapshot.authenticate(secret.as_bytes(), at(second), client);
            let details = snapshot.table().find(&digest).map(|view| view.details);
            format!("{answer:?} {:?} {details:?}", snapshot.standing(&digest, at(second), client))
        })
        .collect()
}

#[test]
fn what_was_written_is_read() {
    let image = reread(&image()).unwrap();
    assert_eq!((image.of, image.heard_at), (OF, Some(at(1000))));
    assert_eq!(told(image.editor.snapshot()), told(&snapshot()));
    assert!(told(&snapshot()).iter().any(|answer| answer.contains("manages: true")));
    assert_eq!(image.editor.snapshot().checksum(), snapshot().checksum());
}

#[test]
fn scopes_are_known_by_name() {
    let define = |name: &str, implies: &[&str]| ScopeDefinition {
        name: name.into(),
        implies: implies.iter().map(ToString::to_string).collect(),
    };
    let effective = |definitions: &[ScopeDefinition]| {
        let scopes = Scopes::build(definitions).unwrap();
        let image = policy_of(&scopes, |policy| read(&image(), policy)).unwrap();
        let snapshot = image.editor.snapshot();
        let good = snapshot.authenticate(b"s1", at(2), "192.0.2.1".parse().unwrap()).unwrap();
        scopes.names(good.principal.scopes).collect::<Vec<_>>().join(" ")
    };
    // Other bits, other closures, and a scope that nobody knew when the image was written.
    assert_eq!(effective(&[define("x", &[]), define("future", &["x"])]), "x future");
    assert_eq!(effective(&[define("y", &[]), define("read", &[])]), "read");
    let all: Vec<_> = (0..63).map(|at| define(&format!("x{at}"), &[])).chain([define("read", &[])]).collect();
    assert_eq!(effective(&all), "read");
}

#[test]
fn what_is_not_whole_is_refused() {
    let whole = image();
    for length in 0..whole.len() {
        let expected = if length < MAGIC.len() { ImageError::NotAnImage } else { ImageError::Damaged };
        assert_eq!(reread(&whole[..length]).unwrap_err(), expected, "{length}");
    }
    let longer = [whole.as_slice(), b"x"].concat();
    assert_eq!(reread(&longer).unwrap_err(), ImageError::Damaged);
    assert_eq!(reread(b"version: 1\nkeys: []\n").unwrap_err(), ImageError::NotAnImage);
}

#[test]
fn a_single_flipped_bit_is_found() {
    let whole = image();
    let stamp = 12..12 + STAMP_BYTES;
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut changed = whole.clone();
            changed[at] ^= 1 << bit;
            match reread(&changed) {
                Err(ImageError::NotAnImage) => assert!(at < 8),
                Err(ImageError::OtherVersion(_)) => assert!((8..12).contains(&at)),
                Err(ImageError::Damaged) => assert!(!stamp.contains(&at)),
                // When its database was heard of is unknown; what it holds is not in doubt.
                Ok(image) => assert!(stamp.contains(&at) && image.heard_at.is_none(), "{at}"),
            }
        }
    }
}

#[test]
fn a_stamp_can_be_written_over() {
    let mut bytes = image();
    let start = usize::try_from(STAMP_OFFSET).unwrap();
    bytes[start..start + STAMP_BYTES].copy_from_slice(&stamp(at(2000)));
    assert_eq!(reread(&bytes).unwrap().heard_at, Some(at(2000)));
}

/// An image whose content was changed by someone who can compute a checksum.
fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.len() - DIGEST_BYTES;
    let start = 12 + STAMP_BYTES;
    let hash = Sha256::new().chain_update(&bytes[..12]).chain_update(&bytes[start..end]).finalize();
    bytes[end..].copy_from_slice(&hash);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn no_bytes_make_it_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), cut in 0usize..40) {
        let mut bytes = image();
        let start = 12 + STAMP_BYTES;
        for (at, value) in changes {
            let at = start + at.index(bytes.len() - DIGEST_BYTES - start);
            bytes[at] = value;
        }
        bytes.drain(bytes.len() - DIGEST_BYTES - cut..bytes.len() - DIGEST_BYTES);
        if let Ok(image) = reread(&resealed(bytes)) {
            told(image.editor.snapshot());
            image.editor.snapshot().checksum();
        }
    }

    #[test]
    fn noise_is_no_image(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        let bytes = [&MAGIC[..], &VERSION.to_le_bytes(), &[0; STAMP_BYTES], &noise, &[0; DIGEST_BYTES]].concat();
        prop_assert_eq!(reread(&resealed(bytes)).err(), Some(ImageError::Damaged));
    }
}

#[test]
fn the_plan_of_a_key_means_what_todays_config_says() {
    let scopes = Scopes::default();
    let caps = RoleCaps::new(|_| scopes.all());
    let bytes = image();
    let plan_under = |plans: &Plans| {
        let policy = KeyPolicy { scopes: &scopes, role_caps: &caps, brand: &Brand::default(), plans };
        let image = read(&bytes, &policy).unwrap();
        let snapshot = image.editor.snapshot();
        let view = snapshot.table().find(&KeyDigest::of(b"s1")).unwrap();
        assert_eq!(snapshot.named_plan(&view), Some("gold"));
        snapshot.plan(&view).and_then(|at| plans.get(at)).map(|plan| plan.name().to_owned())
    };
    let plan = |name: &str, most| Plan::new(name, None, Some(most));
    assert_eq!(plan_under(&Plans::default()), None);
    assert_eq!(
        plan_under(&Plans::new(vec![plan("a", 9), plan("gold", 5)], Some("a"))).as_deref(),
        Some("gold")
    );
    assert_eq!(plan_under(&Plans::new(vec![plan("a", 9), plan("b", 5)], Some("a"))).as_deref(), Some("b"));
}
