//! Session descriptions: golden offers, answers as text, refusals by table.
//!
//! The offers of Chromium, Firefox and aiortc were taken from them as they are; those of OBS and GStreamer are written after theirs.
#![allow(clippy::unwrap_used, missing_docs)]

use lyceum_session::Fingerprint;
use lyceum_session::ice::Credentials;
use lyceum_session::sdp::*;

const CLASS: &str = include_str!("golden/chromium-156-class.sdp");
const CLASS_ALL_EXTENSIONS: &str = include_str!("golden/chromium-156-class-all-extensions.sdp");
const DATA: &str = include_str!("golden/chromium-156-data.sdp");
const PLAIN: &str = include_str!("golden/chromium-156-plain.sdp");
const FIREFOX: &str = include_str!("golden/firefox-153-class.sdp");
const AIORTC: &str = include_str!("golden/aiortc-1.16.sdp");
const OBS: &str = include_str!("golden/obs-whip.sdp");
const GSTREAMER: &str = include_str!("golden/gstreamer-whip.sdp");

const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
const RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
const REPAIRED_RID: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";
const TRANSPORT_CC: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

fn transport() -> Transport {
    Transport {
        origin: Origin { id: 77, version: 1 },
        ice: Credentials { ufrag: "edge".into(), pwd: "edge-password-of-24-chars".into() },
        fingerprint: Fingerprint([0xab; 32]),
        candidates: vec![
            Candidate::host("203.0.113.1:5000".parse().unwrap(), 65_535),
            Candidate::host("[2001:db8::1]:5000".parse().unwrap(), 65_534),
        ],
    }
}

#[test]
fn every_golden_offer_is_read_and_says_the_same_when_written_again() {
    for (name, text) in [
        ("class", CLASS),
        ("class, all extensions", CLASS_ALL_EXTENSIONS),
        ("data", DATA),
        ("plain", PLAIN),
        ("firefox", FIREFOX),
        ("aiortc", AIORTC),
        ("obs", OBS),
        ("gstreamer", GSTREAMER),
    ] {
        let offer = Offer::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(Offer::parse(&offer.write()).as_ref(), Ok(&offer), "{name}");
        let unix = text.replace("\r\n", "\n");
        assert_eq!(Offer::parse(&unix).as_ref(), Ok(&offer), "{name} with bare line feeds");
    }
}

#[test]
fn chromiums_class_offer_means_what_it_means() {
    let offer = Offer::parse(CLASS).unwrap();
    assert_eq!(offer.bundle.join(" "), "0 1 2 3 4 5 6 7 8 9");
    assert_eq!((offer.ice.ufrag.as_str(), offer.ice.pwd.as_str()), ("zvD3", "q6MIidbXv3epDjmbUgE8Y3jE"));
    assert_eq!(offer.setup, Setup::ActPass);
    assert!(offer.extmap_allow_mixed && !offer.ice_lite);
    // Four over UDP; the four TCP ones are skipped.
    assert_eq!(offer.candidates.len(), 4);
    let kinds: Vec<_> = offer.lines.iter().map(|line| (line.kind, line.direction)).collect();
    use Direction::*;
    use LineKind::*;
    let mut expected = vec![(Audio, SendOnly), (Video, SendOnly)];
    expected.extend([(Audio, RecvOnly); 3]);
    expected.extend([(Video, RecvOnly); 4]);
    expected.push((Data, SendRecv));
    assert_eq!(kinds, expected);

    let microphone = &offer.lines[0];
    let opus = microphone.codec(111).unwrap();
    assert!(opus.is("OPUS") && opus.clock == 48_000 && opus.channels == 2);
    assert_eq!(opus.parameter("useinbandfec"), Some("1"));
    assert!(opus.has_feedback("transport-cc"));
    assert_eq!(microphone.extension("urn:ietf:params:rtp-hdrext:ssrc-audio-level"), Some(1));
    assert_eq!(microphone.ssrcs.len(), 1);
    assert_eq!(microphone.msid.as_ref().unwrap().stream, "18312220-5baa-4d46-93ba-ce967cdc096e");

    let camera = &offer.lines[1];
    assert_eq!(camera.rids.iter().map(|rid| rid.id.as_str()).collect::<Vec<_>>(), ["l", "m", "h"]);
    assert!(camera.rids.iter().all(|rid| rid.send && !rid.paused));
    assert_eq!((camera.codecs[0].pt, camera.rtx_of(96), camera.codecs[1].rtx_for()), (96, Some(97), Some(96)));
    assert!(camera.codec(96).unwrap().has_feedback("nack pli"));
    let ids = [MID, RID, REPAIRED_RID, TRANSPORT_CC].map(|uri| camera.extension(uri));
    assert_eq!(ids, [Some(4), Some(10), Some(11), Some(3)]);
    assert_eq!(camera.codec(102).unwrap().parameter("profile-level-id"), Some("42001f"));

    let sctp = offer.remote().sctp.unwrap();
    assert_eq!((sctp.port, sctp.max_message_bytes), (5000, 262_144));
}

#[test]
fn an_answer_is_written_line_by_line_out_of_the_offer() {
    let offer = Offer::parse(CLASS).unwrap();
    let mut answer = Answer::to(&offer, transport());
    let codec = |pt, feedback: &[&str]| AcceptCodec {
        pt,
        feedback: feedback.iter().map(|text| (*text).to_owned()).collect(),
        fmtp: None,
    };
    let accept = |direction, codecs, extensions: &[u8]| Accept {
        direction,
        codecs,
        extensions: extensions.to_vec(),
        rids: Vec::new(),
        sending: None,
    };
    answer.accept(&offer, 0, accept(Direction::RecvOnly, vec![codec(111, &["transport-cc"])], &[1, 3, 4])).unwrap();
    let camera = Accept {
        rids: ["l", "m", "h"].map(str::to_owned).to_vec(),
        ..accept(
            Direction::RecvOnly,
            vec![codec(96, &["transport-cc", "nack", "nack pli", "no such thing"]), codec(97, &[])],
            &[3, 4, 10, 11],
        )
    };
    answer.accept(&offer, 1, camera).unwrap();
    let slot = Accept {
        sending: Some(Sending {
            msid: Msid { stream: "slot-5".into(), track: "slot-5".into() },
            cname: "edge".into(),
            ssrc: 1001,
            rtx_ssrc: Some(1002),
        }),
        ..accept(Direction::SendRecv, vec![codec(96, &["nack"]), codec(97, &[])], &[4])
    };
    answer.accept(&offer, 5, slot).unwrap();
    answer.accept_data(&offer, 9).unwrap();
    let text = answer.write();
    assert_eq!(text, include_str!("golden/answer.sdp").replace('\n', "\r\n"));

    let read = Answer::parse(&text).unwrap();
    assert_eq!(read.lines[5].groups[0].ssrcs, [1001, 1002]);
    assert_eq!(read.bundle, ["0", "1", "5", "9"]);
    assert!(read.lines[2].rejected && !read.lines[5].rejected);
    assert_eq!(read.lines[5].direction, Direction::SendOnly, "the offer only receives");
    assert_eq!(read.remote().ice.ufrag, "edge");
    assert_eq!(read.candidates.len(), 2);
}

#[test]
fn a_direction_of_an_extension_is_turned_round() {
    let offer = Offer::parse(FIREFOX).unwrap();
    let mut answer = Answer::to(&offer, transport());
    let accept = Accept {
        direction: Direction::RecvOnly,
        codecs: vec![AcceptCodec { pt: 120, feedback: Vec::new(), fmtp: None }],
        extensions: vec![3, 6, 9],
        rids: Vec::new(),
        sending: None,
    };
    answer.accept(&offer, 1, accept).unwrap();
    let directions: Vec<_> = answer.lines[1].extensions.iter().map(|extension| extension.direction).collect();
    assert_eq!(directions, [None, Some(Direction::SendOnly), Some(Direction::RecvOnly)]);
}

#[test]
fn what_the_offer_does_not_have_cannot_be_accepted() {
    let offer = Offer::parse(CLASS).unwrap();
    let mut answer = Answer::to(&offer, transport());
    let good = Accept {
        direction: Direction::RecvOnly,
        codecs: vec![AcceptCodec { pt: 96, feedback: Vec::new(), fmtp: None }],
        extensions: Vec::new(),
        rids: Vec::new(),
        sending: None,
    };
    let with = |change: fn(&mut Accept)| {
        let mut accept = good.clone();
        change(&mut accept);
        accept
    };
    let table: [(usize, Accept, AnswerError); 6] = [
        (10, good.clone(), AnswerError::NoLine(10)),
        (9, good.clone(), AnswerError::WrongLine(9)),
        (1, with(|accept| accept.codecs.clear()), AnswerError::WrongLine(1)),
        (1, with(|accept| accept.codecs[0].pt = 111), AnswerError::NoCodec { line: 1, pt: 111 }),
        (1, with(|accept| accept.extensions.push(1)), AnswerError::NoExtension { line: 1, id: 1 }),
        (1, with(|accept| accept.rids.push("x".into())), AnswerError::NoRid { line: 1, rid: "x".into() }),
    ];
    for (line, accept, error) in table {
        assert_eq!(answer.accept(&offer, line, accept), Err(error));
    }
    assert_eq!(answer.accept_data(&offer, 1), Err(AnswerError::WrongLine(1)));
    assert_eq!(answer.accept(&offer, 1, good), Ok(()));
}

#[test]
fn a_bots_offer_reads_as_it_was_meant() {
    let codec = |pt, name: &str, clock, channels, fmtp: &str, feedback: &[&str]| Codec {
        pt,
        name: name.into(),
        clock,
        channels,
        fmtp: fmtp.into(),
        feedback: feedback.iter().map(|text| (*text).to_owned()).collect(),
    };
    let opus = codec(111, "opus", 48_000, 2, "minptime=10;useinbandfec=1", &["transport-cc"]);
    let vp8 = codec(96, "VP8", 90_000, 1, "", &["nack", "nack pli", "transport-cc"]);
    let rtx = codec(97, "rtx", 90_000, 1, "apt=96", &[]);
    let extension = |id, uri: &str| Extension { id, uri: uri.into(), direction: None };
    let extensions = vec![extension(4, MID), extension(10, RID), extension(11, REPAIRED_RID)];
    let media = |kind, direction, codecs: &[Codec], rids: &[&str]| OfferLine::Media {
        kind,
        direction,
        codecs: codecs.to_vec(),
        extensions: extensions.clone(),
        rids: rids.iter().map(|rid| (*rid).to_owned()).collect(),
    };
    let lines = [
        media(LineKind::Audio, Direction::SendOnly, std::slice::from_ref(&opus), &[]),
        media(LineKind::Video, Direction::SendOnly, &[vp8.clone(), rtx.clone()], &["l", "m", "h"]),
        media(LineKind::Audio, Direction::RecvOnly, &[opus], &[]),
        media(LineKind::Video, Direction::RecvOnly, &[vp8, rtx], &[]),
        OfferLine::Data,
    ];
    let offer = Offer::new(Origin { id: 5, version: 2 }, transport().ice, transport().fingerprint, &lines);
    let read = Offer::parse(&offer.write()).unwrap();
    assert_eq!(read, offer);
    assert_eq!(read.lines[1].rids.len(), 3);
    assert_eq!(read.line("3").unwrap().rtx_of(96), Some(97));
    assert!(read.remote().sctp.is_some());
}

/// A small offer, line by line, to spoil.
const SMALL: &str = "v=0\no=- 1 2 IN IP4 0.0.0.0\ns=-\nt=0 0\na=group:BUNDLE a v\n\
m=audio 9 UDP/TLS/RTP/SAVPF 111\nc=IN IP4 0.0.0.0\na=ice-ufrag:abcd\na=ice-pwd:0123456789012345678901\n\
a=fingerprint:sha-256 AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB\n\
a=setup:actpass\na=mid:a\na=extmap:1 urn:x\na=rtcp-mux\na=rtpmap:111 opus/48000/2\n\
m=video 9 UDP/TLS/RTP/SAVPF 96 97\na=mid:v\na=extmap:1 urn:x\na=rtcp-mux\na=rtpmap:96 VP8/90000\na=rtpmap:97 rtx/90000\n\
a=fmtp:97 apt=96\na=rid:l send\na=rid:h send\na=simulcast:send h;~l\n";

#[test]
fn what_is_wrong_is_refused_with_its_line() {
    let small = Offer::parse(SMALL).unwrap();
    let rids: Vec<_> = small.lines[1].rids.iter().map(|rid| (rid.id.as_str(), rid.paused)).collect();
    assert_eq!(rids, [("h", false), ("l", true)], "the simulcast line orders and pauses");
    for (from, to, error) in [
        ("v=0\n", "", "SDP line 1: v=0 at the top is missing"),
        ("v=0\n", "v=1\n", "SDP line 1: v= cannot be read"),
        ("o=- 1 2", "o=- one 2", "SDP line 2: o= cannot be read"),
        ("s=-\n", "hello\n", "SDP line 3: a line without `x=` cannot be read"),
        ("s=-\n", "s=\u{1}\n", "SDP line 3: a control character cannot be read"),
        ("a=group:BUNDLE a v\n", "", "SDP line 24: a=group:BUNDLE is missing"),
        ("BUNDLE a v", "BUNDLE a", "SDP line 25: an m-line is outside the BUNDLE group"),
        ("BUNDLE a v", "BUNDLE x a v", "SDP line 25: the BUNDLE group names a mid that no m-line has"),
        ("BUNDLE a v\n", "BUNDLE a v\na=group:BUNDLE a v\n", "SDP line 6: there is more than one BUNDLE group"),
        ("m=audio 9 ", "m=audio x ", "SDP line 6: the port of m= cannot be read"),
        ("SAVPF 111", "SAVPF 111 111", "SDP line 6: a payload type stands twice in m="),
        ("SAVPF 111", "SAVPF 128", "SDP line 6: a payload type of m= cannot be read"),
        ("SAVPF 111", "SAVPF", "SDP line 6: m= cannot be read"),
        ("ufrag:abcd", "ufrag:abc", "SDP line 8: a=ice-ufrag cannot be read"),
        ("ufrag:abcd", "ufrag:ab:d", "SDP line 8: a=ice-ufrag cannot be read"),
        ("a=ice-ufrag:abcd\n", "", "SDP line 24: a=ice-ufrag is missing"),
        ("pwd:0123", "pwd:", "SDP line 9: a=ice-pwd cannot be read"),
        ("sha-256 AB:", "sha-256 ", "SDP line 10: a=fingerprint cannot be read"),
        ("sha-256 AB:", "sha-1 ", "SDP line 25: a sha-256 fingerprint is needed"),
        (
            "setup:actpass",
            "setup:passive",
            "SDP line 25: the offerer has to be ready to be DTLS client: a=setup:actpass",
        ),
        ("setup:actpass", "setup:holdconn", "SDP line 11: a=setup cannot be read"),
        ("a=setup:actpass\n", "", "SDP line 24: a=setup is missing"),
        ("a=mid:a\n", "", "SDP line 24: a=mid is missing"),
        ("a=mid:a\n", "a=mid:a\na=mid:b\n", "SDP line 13: an m-line has two mids"),
        ("a=mid:v\n", "a=mid:a\n", "SDP line 25: two m-lines have the same mid"),
        ("a=mid:v\n", "a=mid:v w\n", "SDP line 17: a=mid cannot be read"),
        (
            "a=extmap:1 urn:x\na=rtcp-mux\na=rtpmap:111",
            "a=extmap:1 urn:y\na=rtcp-mux\na=rtpmap:111",
            "SDP line 25: one header extension id has two meanings in a bundle",
        ),
        (
            "a=extmap:1 urn:x\n",
            "a=extmap:1 urn:x\na=extmap:1 urn:y\n",
            "SDP line 14: a header extension id stands twice in an m-line",
        ),
        ("a=extmap:1 urn:x\n", "a=extmap:0 urn:x\n", "SDP line 13: the id of a=extmap cannot be read"),
        ("a=extmap:1 urn:x\n", "a=extmap:1\n", "SDP line 13: a=extmap cannot be read"),
        ("a=rtcp-mux\n", "", "SDP line 24: every m-line needs a=rtcp-mux"),
        ("opus/48000/2", "opus/0", "SDP line 15: the clock of a=rtpmap cannot be read"),
        ("opus/48000/2", "/48000", "SDP line 15: a=rtpmap cannot be read"),
        ("a=rid:h send", "a=rid:l send", "SDP line 24: a rid stands twice in an m-line"),
        ("a=rid:h send", "a=rid:h both", "SDP line 24: the direction of a=rid cannot be read"),
        ("a=rid:h send", "a=rid:h;h send", "SDP line 24: a=rid cannot be read"),
        ("send h;~l", "send h;~m", "SDP line 25: a=simulcast names a rid that the m-line does not have"),
        ("a=simulcast:send h;~l", "a=simulcast:h", "SDP line 25: a=simulcast cannot be read"),
        ("a=rtcp-mux\n", "a=rtcp-mux\na=sendonly\na=recvonly\n", "SDP line 16: an m-line has two directions"),
    ] {
        let spoiled = SMALL.replacen(from, to, 1);
        assert_ne!(spoiled, SMALL, "{from}");
        let said = Offer::parse(&spoiled).map_err(|error| error.to_string());
        assert_eq!(said.map(|_| ()), Err(error.to_owned()), "{from} -> {to}");
    }
}

#[test]
fn what_is_unknown_is_skipped() {
    for (from, to) in [
        ("t=0 0\n", "t=0 0\nb=AS:500\na=something:new\na=msid-semantic: WMS *\n"),
        ("a=rtcp-mux\n", "a=rtcp-mux\na=rtcp:9 IN IP4 0.0.0.0\na=rtcp-xr:rcvr-rtt=all\na=ptime:20\n"),
        ("a=mid:v\n", "a=mid:v\na=candidate:1 1 tcp 5 192.0.2.1 9 typ host tcptype active\na=candidate:nonsense\n"),
        (
            "a=mid:v\n",
            "a=mid:v\na=candidate:1 1 udp 5 some-name.local 9 typ host\na=candidate:1 2 udp 5 192.0.2.1 9 typ host\n",
        ),
        ("a=mid:v\n", "a=mid:v\na=extmap:4100 urn:later\n"),
        ("a=mid:v\n", "a=mid:v\na=rtpmap:50 H265/90000\na=rtcp-fb:50 nack\na=fmtp:50 x=y\n"),
    ] {
        let changed = SMALL.replacen(from, to, 1);
        assert_ne!(changed, SMALL);
        assert_eq!(Offer::parse(&changed), Offer::parse(SMALL), "{to}");
    }
}

#[test]
fn lines_of_other_media_keep_their_place_and_are_rejected() {
    let text = format!("{SMALL}m=text 11000 RTP/AVP 98 99\na=mid:t\nm=audio 0 UDP/TLS/RTP/SAVPF 0\na=mid:old\n");
    let offer = Offer::parse(&text).unwrap();
    assert_eq!(offer.lines[2].kind, LineKind::Other);
    assert!(offer.lines[3].rejected);
    let written = Answer::to(&offer, transport()).write();
    assert!(written.contains("m=text 0 RTP/AVP 98\r\n"), "{written}");
    assert!(written.contains("m=audio 0 UDP/TLS/RTP/SAVPF 0\r\n"), "{written}");
}

#[test]
fn odd_but_legal_offers_can_be_written_and_read_again() {
    for (name, text) in [
        ("no m-line", {
            let at = SMALL.find("m=audio").unwrap();
            let transport = &SMALL[SMALL.find("a=ice-ufrag").unwrap()..SMALL.find("a=mid:a").unwrap()];
            format!("{}{transport}", &SMALL[..at].replace("a=group:BUNDLE a v\n", ""))
        }),
        ("all lines rejected", SMALL.replace("m=audio 9", "m=audio 0").replace("m=video 9", "m=video 0")),
        ("the first line of the bundle rejected", {
            let transport = &SMALL[SMALL.find("a=ice-ufrag").unwrap()..SMALL.find("a=mid:a").unwrap()];
            SMALL.replace("m=audio 9", "m=audio 0").replace("a=mid:v\n", &format!("a=mid:v\n{transport}"))
        }),
        ("rids of both directions", SMALL.replace("a=rid:h send", "a=rid:r recv\na=rid:h send")),
        (
            "a space too many",
            SMALL
                .replace("SAVPF 111", "SAVPF  111")
                .replace("m=audio 9", "m=audio 0")
                .replace("m=video 9", "m=video 0"),
        ),
    ] {
        let offer = Offer::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}\n{text}"));
        let written = offer.write();
        let again = Offer::parse(&written).unwrap_or_else(|error| panic!("{name}: {error}\n{written}"));
        assert_eq!(again.write(), written, "{name}");
    }
}

#[test]
fn bounds_hold() {
    let lines = |line: &str, times: usize| SMALL.replacen("a=mid:v\n", &format!("a=mid:v\n{}", line.repeat(times)), 1);
    let numbered = |make: &dyn Fn(usize) -> String, times: usize| {
        let more: String = (0..times).map(make).collect();
        SMALL.replacen("a=mid:v\n", &format!("a=mid:v\n{more}"), 1)
    };
    for (name, text) in [
        ("ten megabytes", lines("a=x:yyyyyyyy\n", 10 * 1024 * 1024 / 13)),
        ("too many lines", lines("a=\n", LINES_MAX)),
        ("a long line", lines(&format!("a=x:{}\n", "y".repeat(LINE_BYTES_MAX)), 1)),
        ("m-lines", numbered(&|i| format!("m=audio 9 UDP/TLS/RTP/SAVPF 0\na=mid:m{i}\na=rtcp-mux\n"), MEDIA_LINES_MAX)),
        ("candidates", lines("a=candidate:1 1 udp 5 192.0.2.1 9 typ host\n", CANDIDATES_MAX + 1)),
        ("extensions", numbered(&|i| format!("a=extmap:{} urn:{i}\n", i + 2), EXTENSIONS_MAX)),
        ("feedback", lines("a=rtcp-fb:96 nack\n", FEEDBACK_MAX + 1)),
        ("rids", numbered(&|i| format!("a=rid:r{i} send\n"), RIDS_MAX + 1)),
        ("ssrcs", numbered(&|i| format!("a=ssrc:{i} cname:x\n"), SSRCS_MAX + 1)),
    ] {
        let error = Offer::parse(&text).unwrap_err();
        assert!(matches!(error.fault, SdpFault::TooMuch(_)), "{name}: {error}");
    }
}

#[test]
fn a_trickled_candidate_is_read() {
    for (text, expected) in [
        ("candidate:1 1 udp 2122 192.0.2.1 4000 typ host generation 0", Some("192.0.2.1:4000")),
        ("a=candidate:1 1 UDP 2122 2001:db8::1 4000 typ srflx raddr 0.0.0.0 rport 0", Some("[2001:db8::1]:4000")),
        ("candidate:1 1 tcp 2122 192.0.2.1 9 typ host tcptype active", None),
        ("candidate:1 1 udp 2122 a-name.local 4000 typ host", None),
        ("candidate:1 2 udp 2122 192.0.2.1 4000 typ host", None),
        ("candidate:1 1 udp 2122 192.0.2.1 0 typ host", None),
        ("candidate:", None),
        ("", None),
    ] {
        let read = Candidate::parse(text).map(|candidate| candidate.address.to_string());
        assert_eq!(read.as_deref(), expected, "{text}");
    }
}

#[test]
fn cut_or_garbled_offers_never_panic() {
    for text in [CLASS, FIREFOX, OBS] {
        for end in (0..text.len()).step_by(31) {
            let _ = Offer::parse(&text[..end]);
        }
    }
    let mut dice = 7u64;
    for _ in 0..500 {
        let mut bytes = PLAIN.as_bytes().to_vec();
        for _ in 0..8 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = (dice >> 33) as usize % bytes.len();
            bytes[at] = (dice >> 20) as u8 & 0x7f;
        }
        if let Ok(offer) = Offer::parse(std::str::from_utf8(&bytes).unwrap()) {
            assert_eq!(Offer::parse(&offer.write()), Ok(offer));
        }
    }
}
