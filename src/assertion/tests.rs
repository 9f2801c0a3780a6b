//! What is asserted, for how long, and by which key.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use serde_json::Value;

use super::{
    key::{KeyProblem, SigningKey},
    *,
};
use crate::policy::{
    principal::{KeyIdText, Owner, Role},
    project::{ProjectSet, VisibleProjects},
};

fn pem(algorithm: &'static rcgen::SignatureAlgorithm) -> String {
    KeyPair::generate_for(algorithm).unwrap().serialize_pem()
}

fn key(algorithm: &'static rcgen::SignatureAlgorithm) -> SigningKey {
    SigningKey::from_pem(pem(algorithm).as_bytes()).unwrap()
}

fn assertions(keys: SigningKeys) -> Assertions {
    Assertions {
        header: HEADER.into(),
        issuer: "https://keys.example.com".into(),
        audiences: vec![Some("api".into()), None],
        lifetime_seconds: 60,
        keys,
    }
}

fn decoded(part: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(part).unwrap()
}

fn parts(token: &str) -> [&str; 3] {
    token.split('.').collect::<Vec<_>>().try_into().unwrap()
}

fn principal<'p>(owner: Option<Owner<'p>>, projects: &'p ProjectSet, scopes: &Scopes) -> Principal<'p> {
    const ALL: &ProjectSet = &ProjectSet::All;
    Principal {
        key_id: KeyIdText::from("key_1").unwrap(),
        key_name: "CI",
        organization: "default",
        owner,
        scopes: scopes.get("write").unwrap(),
        projects: VisibleProjects {
            key: projects,
            owner: ALL,
            organization: ALL,
            is_sole_organization: true,
        },
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn claims(assertion: &Assertion) -> Value {
    serde_json::from_slice(&decoded(parts(&assertion.token)[1])).unwrap()
}

#[test]
fn what_is_signed_verifies_with_what_is_published() {
    for (algorithm, name) in [(&PKCS_ED25519, "EdDSA"), (&PKCS_ECDSA_P256_SHA256, "ES256")] {
        let (signing, other) = (key(algorithm), key(&PKCS_ED25519));
        let assertions = assertions(SigningKeys::new(signing, &[other]));
        let scopes = Scopes::default();
        let owner = Owner { id: "ada", email: "ada@example.com", role: Role::Owner };
        let principal = principal(Some(owner), &ProjectSet::All, &scopes);
        let subject =
            Subject { principal: &principal, scopes: &scopes, project: Some("alpha"), ends_at: None };
        let assertion = assertions.assert("api", &subject, at(1_000)).unwrap();
        assert_eq!((assertion.signed_at, assertion.renew_at), (1_000, 1_030));

        let [header, body, signature] = parts(&assertion.token);
        let published: Value = serde_json::from_str(assertions.keys.published()).unwrap();
        let header_json: Value = serde_json::from_slice(&decoded(header)).unwrap();
        let jwk = &published["keys"][0];
        assert_eq!(published["keys"].as_array().unwrap().len(), 2);
        assert_eq!((&header_json["kid"], &header_json["alg"]), (&jwk["kid"], &jwk["alg"]));
        assert_eq!((header_json["alg"].as_str(), header_json["typ"].as_str()), (Some(name), Some("JWT")));
        let coordinate = |name: &str| jwk[name].as_str().map(decoded).unwrap_or_default();
        let signed = format!("{header}.{body}");
        if name == "EdDSA" {
            let public = UnparsedPublicKey::new(&ED25519, coordinate("x"));
            public.verify(signed.as_bytes(), &decoded(signature)).unwrap();
        } else {
            let point = [vec![4], coordinate("x"), coordinate("y")].concat();
            let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
            public.verify(signed.as_bytes(), &decoded(signature)).unwrap();
        }
        assert!(!assertions.keys.published().contains("\"d\""), "no private part is published");
        assert_eq!(
            claims(&assertion),
            serde_json::json!({
                "iss": "https://keys.example.com", "aud": "api", "sub": "person:ada", "iat": 1_000, "nbf": 1_000,
                "exp": 1_060, "key_id": "key_1", "key_name": "CI", "email": "ada@example.com", "role": "owner",
                "org": "default", "scope": "read write", "projects": ["*"], "project": "alpha",
            })
        );
    }
}

#[test]
fn a_key_without_owner_speaks_for_itself() {
    let assertions = assertions(SigningKeys::new(key(&PKCS_ED25519), &[]));
    let scopes = Scopes::default();
    let (alpha, none) = (ProjectSet::only(["alpha"]), ProjectSet::only([] as [&str; 0]));
    for (projects, expected) in [(&alpha, vec!["alpha"]), (&none, vec![])] {
        let principal = principal(None, projects, &scopes);
        let subject = Subject { principal: &principal, scopes: &scopes, project: None, ends_at: None };
        let claims = claims(&assertions.assert("api", &subject, at(0)).unwrap());
        assert_eq!(claims["sub"], "key:key_1");
        assert_eq!(claims["projects"], serde_json::json!(expected));
        for absent in ["email", "role", "project", "jti"] {
            assert!(claims.get(absent).is_none(), "{absent}");
        }
    }
}

#[test]
fn an_assertion_ends_with_its_key() {
    for (ends_at, expected) in [
        (None, 1_060),
        (Some(1_059), 1_059),
        (Some(1_060), 1_060),
        (Some(9_999), 1_060),
        // Whole seconds only: one that ends in this second still says something.
        (Some(1_000), 1_001),
    ] {
        assert_eq!(expiry(1_000, 60, ends_at.map(at)), expected, "{ends_at:?}");
    }
}

#[test]
fn nothing_is_cut_from_what_is_too_large() {
    let assertions = assertions(SigningKeys::new(key(&PKCS_ED25519), &[]));
    let scopes = Scopes::default();
    for (count, expected) in [(30, None), (100, Some(NotAsserted::TooLarge))] {
        let projects = ProjectSet::only((0..count).map(|number| format!("project-{number:050}")));
        let principal = principal(None, &projects, &scopes);
        let subject = Subject { principal: &principal, scopes: &scopes, project: None, ends_at: None };
        assert_eq!(assertions.assert("api", &subject, at(0)).err(), expected, "{count}");
    }
}

#[test]
fn keys_that_cannot_sign_are_told() {
    let ed25519 = pem(&PKCS_ED25519);
    for (pem, expected) in [
        (String::new(), KeyProblem::NoKey),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(), KeyProblem::NoKey),
        (ed25519.replace("PRIVATE", "ENCRYPTED PRIVATE"), KeyProblem::Encrypted),
        (format!("{ed25519}{ed25519}"), KeyProblem::Several),
        (pem(&PKCS_ECDSA_P384_SHA384), KeyProblem::Unusable),
        (ed25519.replace("\nM", "\n!"), KeyProblem::Unusable),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".to_owned(), KeyProblem::Unusable),
    ] {
        assert_eq!(SigningKey::from_pem(pem.as_bytes()).unwrap_err(), expected, "{pem}");
    }
    let key = SigningKey::from_pem(ed25519.as_bytes()).unwrap();
    assert_eq!(format!("{key:?}"), format!("SigningKey {{ id: {:?}, .. }}", key.id()));
}

#[test]
fn ids_are_the_thumbprints_of_rfc_8037() {
    // Appendix A.3 of RFC 8037 gives the thumbprint of the key of its appendix A.1.
    let der = [
        &[0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20][..],
        &decoded("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"),
    ]
    .concat();
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
    let key = SigningKey::from_pem(pem.as_bytes()).unwrap();
    assert_eq!(key.id(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}
