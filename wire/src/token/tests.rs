//! Good tokens, and every way a token can be bad.

use super::*;
use proptest::prelude::*;

const NOW: u64 = 1_800_000_000;

fn claims() -> Claims {
    Claims {
        aud: AUDIENCE.to_owned(),
        sub: "u-17".to_owned(),
        name: "Ana".to_owned(),
        room: RoomId::parse("physics").unwrap(),
        grants: Grants::participant(),
        nbf: NOW,
        exp: NOW + 3600,
    }
}

fn signer() -> Signer {
    Signer::from_seed(&[7; 32]).unwrap()
}

fn known(signer: &Signer) -> Keys {
    Keys::from([(signer.id().to_owned(), signer.public())])
}

/// A token made by hand, so that its header and claims can be anything.
fn by_hand(header: &str, claims: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(pair.sign(message.as_bytes())))
}

#[test]
fn the_key_pair_is_rfc_8032s() {
    // RFC 8032 §7.1, test 1.
    let seed = crate::golden::hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
    let signer = Signer::from_seed(&seed.try_into().unwrap()).unwrap();
    let public = crate::golden::hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    assert_eq!(signer.public(), PublicKey(public.try_into().unwrap()));
    assert_eq!(PublicKey::parse(&signer.public().to_text()), Ok(signer.public()));
    assert_eq!(signer.id(), &signer.public().to_text()[..12]);
    assert!(!format!("{signer:?}").contains("key"), "a signer does not print its secret");
}

#[test]
fn a_minted_token_opens_its_room_and_no_other() {
    let (signer, claims) = (signer(), claims());
    let token = signer.mint(&claims).unwrap();
    assert!(token.len() < 1024);
    let keys = known(&signer);
    assert_eq!(verify(&keys, &token, NOW), Ok(claims.clone()));
    assert_eq!(verify_for(&keys, &token, &claims.room, NOW), Ok(claims));
    let other = RoomId::parse("chemistry").unwrap();
    assert_eq!(verify_for(&keys, &token, &other, NOW), Err(Error::WrongRoom));
    assert_eq!(Error::WrongRoom.refusal(), Refusal::WrongRoom);
}

#[test]
fn time_is_told_and_clocks_may_differ_by_the_leeway() {
    let signer = signer();
    let token = signer.mint(&claims()).unwrap();
    let at = |now| verify(&known(&signer), &token, now).err();
    assert_eq!(at(NOW - LEEWAY_SECONDS - 1), Some(Error::NotYet));
    assert_eq!(at(NOW - LEEWAY_SECONDS), None);
    assert_eq!(at(NOW + 3600 + LEEWAY_SECONDS - 1), None);
    assert_eq!(at(NOW + 3600 + LEEWAY_SECONDS), Some(Error::Expired));
    assert_eq!(at(u64::MAX), Some(Error::Expired));
    assert_eq!(at(0), Some(Error::NotYet));
    assert_eq!(Error::Expired.refusal(), Refusal::ExpiredToken);
}

#[test]
fn tokens_that_open_nothing() {
    let good = signer();
    let keys = known(&good);
    let id = good.id().to_owned();
    let header = format!(r#"{{"alg":"EdDSA","kid":"{id}"}}"#);
    let body = serde_json::to_string(&claims()).unwrap();
    let token = by_hand(&header, &body);
    assert!(verify(&keys, &token, NOW).is_ok(), "by hand, but good");

    let stranger = Signer::from_seed(&[8; 32]).unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    let stolen = format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(body.replace("Ana", "Eve")), parts[2]);
    let forged = {
        let minted = stranger.mint(&claims()).unwrap();
        let tail = minted.split_once('.').unwrap().1.to_owned();
        format!("{}.{tail}", parts[0])
    };
    let table = [
        ("empty", String::new(), Error::Malformed),
        ("no token", "hello".to_owned(), Error::Malformed),
        ("two parts", format!("{}.{}", parts[0], parts[1]), Error::Malformed),
        ("four parts", format!("{token}.x"), Error::Malformed),
        ("too long", format!("{token}{}", "A".repeat(TOKEN_BYTES_MAX)), Error::TooLong),
        ("no signature", format!("{}.{}.", parts[0], parts[1]), Error::Signature),
        ("changed claims", stolen, Error::Signature),
        ("another's signature under our key id", forged, Error::Signature),
        ("an unknown key", stranger.mint(&claims()).unwrap(), Error::UnknownKey),
        ("no key id", by_hand(r#"{"alg":"EdDSA"}"#, &body), Error::UnknownKey),
        ("alg none", by_hand(&header.replace("EdDSA", "none"), &body), Error::Malformed),
        ("alg HS256", by_hand(&header.replace("EdDSA", "HS256"), &body), Error::Algorithm),
        ("alg RS256", by_hand(&header.replace("EdDSA", "RS256"), &body), Error::Algorithm),
        (
            "another audience",
            by_hand(&header, &body.replace("\"aud\":\"lyceum\"", "\"aud\":\"other\"")),
            Error::Audience,
        ),
        ("no expiry", by_hand(&header, &body.replace("\"exp\"", "\"xxx\"")), Error::Malformed),
        ("no nbf", by_hand(&header, &body.replace("\"nbf\"", "\"xxx\"")), Error::Malformed),
        ("no room", by_hand(&header, &body.replace("\"room\"", "\"xxx\"")), Error::Malformed),
        ("a room that is a path", by_hand(&header, &body.replace("physics", "../etc")), Error::Malformed),
        ("a negative expiry", by_hand(&header, &body.replace("1800003600", "-1")), Error::Malformed),
        ("a name of a kilobyte", by_hand(&header, &body.replace("Ana", &"A".repeat(1024))), Error::Malformed),
        ("claims that are no object", by_hand(&header, "[]"), Error::Malformed),
        ("claims that are no JSON", by_hand(&header, "{"), Error::Malformed),
    ];
    for (name, token, error) in table {
        assert_eq!(verify(&keys, &token, NOW), Err(error), "{name}");
        assert_eq!(error.refusal(), Refusal::BadToken, "{name}");
    }
    assert_eq!(verify(&Keys::new(), &token, NOW), Err(Error::UnknownKey));
}

#[test]
fn announced_keys_that_are_no_keys_are_left_out() {
    let good = signer().public().to_text();
    let announced = BTreeMap::from([
        ("good".to_owned(), good.clone()),
        ("short".to_owned(), "AAAA".to_owned()),
        ("padded".to_owned(), format!("{good}=")),
        ("noise".to_owned(), "!".to_owned()),
    ]);
    assert_eq!(keys(&announced), Keys::from([("good".to_owned(), signer().public())]));
}

proptest! {
    #[test]
    fn no_changed_character_is_overlooked(at: proptest::sample::Index, with in "[A-Za-z0-9_-]") {
        let signer = signer();
        let token = signer.mint(&claims()).unwrap();
        let index = at.index(token.len());
        let mut changed = token.clone();
        changed.replace_range(index..=index, &with);
        // The last character of a part has bits that mean nothing, and the decoder insists that they are zero.
        prop_assert_eq!(verify(&known(&signer), &changed, NOW).is_ok(), changed == token);
    }

    #[test]
    fn noise_is_refused(noise in ".{0,200}") {
        prop_assert!(verify(&known(&signer()), &noise, NOW).is_err());
    }
}

#[test]
fn a_change_touches_only_what_it_names() {
    let mut grants = Grants::viewer();
    let to_stage = GrantChange {
        publish: Some(vec![Source::Camera, Source::Microphone, Source::Camera]),
        ..GrantChange::default()
    };
    assert!(grants.change(&to_stage));
    assert_eq!(grants, Grants { publish: vec![Source::Microphone, Source::Camera], ..Grants::viewer() });
    assert!(!grants.change(&to_stage), "it is so already");
    assert!(!grants.change(&GrantChange::default()));
    assert!(grants.change(&GrantChange { publish: Some(Vec::new()), message: Some(false), ..GrantChange::default() }));
    assert_eq!(grants, Grants { publish: Vec::new(), subscribe: true, message: false, moderate: false });
}
