use proptest::prelude::*;

use super::*;
use crate::names::NAME_CHARS_MAX;

fn parse(uri: &str) -> Result<Identity, InvalidIdentity> {
    uri.parse()
}

#[test]
fn the_three_kinds_of_identity_read_back_as_written() {
    for uri in [
        "spiffe://prod/agent/n1",
        "spiffe://prod.example/agent/node-01.rack-2",
        "spiffe://prod/operator/ada/viewer",
        "spiffe://prod/operator/ada/operator",
        "spiffe://prod/operator/ada/admin",
        "spiffe://prod/coordinator/c1",
    ] {
        assert_eq!(
            parse(uri).map(|identity| identity.to_string()),
            Ok(uri.to_owned())
        );
    }
}

#[test]
fn a_uri_that_is_almost_an_identity_is_refused() {
    let long_name = "a".repeat(NAME_CHARS_MAX + 1);
    let cases = [
        ("", InvalidIdentity::Scheme),
        ("https://prod/agent/n1", InvalidIdentity::Scheme),
        ("SPIFFE://prod/agent/n1", InvalidIdentity::Scheme),
        ("spiffe://prod", InvalidIdentity::Path),
        ("spiffe://prod/", InvalidIdentity::Path),
        ("spiffe://prod/agent", InvalidIdentity::Path),
        ("spiffe://prod/agent/n1/", InvalidIdentity::Path),
        ("spiffe://prod/agent/n1/n2", InvalidIdentity::Path),
        ("spiffe://prod//agent/n1", InvalidIdentity::Path),
        ("spiffe://prod/Agent/n1", InvalidIdentity::Path),
        ("spiffe://prod/operator/ada", InvalidIdentity::Path),
        ("spiffe://prod/operator/ada/admin/", InvalidIdentity::Path),
        ("spiffe://prod/operator/ada/root", InvalidIdentity::Role),
        ("spiffe://prod/operator/ada/Admin", InvalidIdentity::Role),
        ("spiffe://prod/operator/ada/", InvalidIdentity::Role),
    ];
    for (uri, expected) in cases {
        assert_eq!(parse(uri), Err(expected), "{uri}");
    }
    for uri in [
        "spiffe:///agent/n1".to_owned(),
        "spiffe://prod/agent/".to_owned(),
        "spiffe://prod/agent/N1".to_owned(),
        "spiffe://prod/agent/n1?x".to_owned(),
        "spiffe://prod/agent/..".to_owned(),
        "spiffe://prod:7400/agent/n1".to_owned(),
        "spiffe://user@prod/agent/n1".to_owned(),
        "spiffe://prod/agent/n%31".to_owned(),
        "spiffe://prod/coordinator/é".to_owned(),
        "spiffe://-prod/agent/n1".to_owned(),
        format!("spiffe://prod/agent/{long_name}"),
    ] {
        assert!(
            matches!(parse(&uri), Err(InvalidIdentity::Name(_))),
            "{uri}"
        );
    }
    assert_eq!(
        parse(&format!("spiffe://{}", "a".repeat(URI_CHARS_MAX))),
        Err(InvalidIdentity::TooLong)
    );
}

#[test]
fn the_longest_identity_fits_its_bound() {
    let name = "a".repeat(NAME_CHARS_MAX);
    let uri = format!("spiffe://{name}/operator/{name}/operator");
    assert!(uri.len() <= URI_CHARS_MAX);
    assert_eq!(parse(&uri).map(|identity| identity.to_string()), Ok(uri));
}

#[test]
fn roles_rise_from_viewer_to_admin() {
    assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Admin);
    assert!(Role::ALL.is_sorted());
}

proptest! {
    #[test]
    fn no_text_panics_and_what_is_accepted_reads_back(uri in "(spiffe://)?[a-z.-]{0,4}(/(agent|operator|coordinator|admin|[a-z]{0,3})){0,4}|\\PC*") {
        if let Ok(identity) = parse(&uri) {
            prop_assert_eq!(identity.to_string(), uri);
        }
    }

    #[test]
    fn no_bytes_panic_as_a_certificate(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = Identity::from_der(&bytes);
    }
}
