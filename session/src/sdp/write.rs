//! The writer: lines in the order browsers write them.

use super::{Codec, Description, Direction, LineKind, MediaLine, Setup, read};
use std::fmt::{Result, Write};
use std::net::IpAddr;

/// The whole description, with CRLF after every line.
pub(super) fn description(description: &Description) -> String {
    let mut out = Lines { text: String::with_capacity(1024 + 768 * description.lines.len()) };
    // Writing into a string cannot fail.
    let _ = session(&mut out, description);
    out.text
}

/// Payload types, separated by spaces.
pub(super) fn formats(codecs: &[Codec]) -> String {
    let pts: Vec<String> = codecs.iter().map(|codec| codec.pt.to_string()).collect();
    pts.join(" ")
}

struct Lines {
    text: String,
}

impl Lines {
    fn line(&mut self, line: std::fmt::Arguments<'_>) -> Result {
        self.text.write_fmt(line)?;
        self.text.write_str("\r\n")
    }
}

macro_rules! line {
    ($out:expr, $($what:tt)*) => { $out.line(format_args!($($what)*))? };
}

fn session(out: &mut Lines, d: &Description) -> Result {
    line!(out, "v=0");
    line!(out, "o=- {} {} IN IP4 127.0.0.1", d.origin.id, d.origin.version);
    line!(out, "s=-");
    line!(out, "t=0 0");
    if !d.bundle.is_empty() {
        line!(out, "a=group:BUNDLE {}", d.bundle.join(" "));
    }
    if d.ice_lite {
        line!(out, "a=ice-lite");
    }
    if d.extmap_allow_mixed {
        line!(out, "a=extmap-allow-mixed");
    }
    // The candidates belong to the line whose transport carries the bundle (RFC 8843 §7.1.2).
    let tagged = read::tagged(&d.bundle, d.lines.iter());
    if tagged.is_none() {
        transport(out, d)?;
    }
    for (i, media) in d.lines.iter().enumerate() {
        if media.rejected {
            rejected(out, media)?;
        } else {
            live(out, d, media, Some(i) == tagged)?;
        }
    }
    Ok(())
}

fn transport(out: &mut Lines, d: &Description) -> Result {
    line!(out, "a=ice-ufrag:{}", d.ice.ufrag);
    line!(out, "a=ice-pwd:{}", d.ice.pwd);
    if !d.ice_lite {
        line!(out, "a=ice-options:trickle");
    }
    line!(out, "a=fingerprint:sha-256 {}", d.fingerprint);
    let setup = match d.setup {
        Setup::ActPass => "actpass",
        Setup::Active => "active",
        Setup::Passive => "passive",
    };
    line!(out, "a=setup:{setup}");
    Ok(())
}

/// A rejected line keeps its place and its mid, and names one of its formats (RFC 3264 §6, RFC 8829 §5.3.1).
fn rejected(out: &mut Lines, media: &MediaLine) -> Result {
    let format = media.form.formats.split(' ').find(|format| !format.is_empty()).unwrap_or("0");
    line!(out, "m={} 0 {} {format}", media.form.media, media.form.protocol);
    line!(out, "c=IN IP4 0.0.0.0");
    if media.kind != LineKind::Data {
        line!(out, "a=inactive");
    }
    if !media.mid.is_empty() {
        line!(out, "a=mid:{}", media.mid);
    }
    Ok(())
}

fn live(out: &mut Lines, d: &Description, media: &MediaLine, tagged: bool) -> Result {
    let default = d.candidates.first().map(|candidate| candidate.address);
    let port = default.map_or(9, |address| address.port());
    line!(out, "m={} {port} {} {}", media.form.media, media.form.protocol, media.form.formats);
    match default.map(|address| address.ip()) {
        Some(ip @ IpAddr::V4(_)) => line!(out, "c=IN IP4 {ip}"),
        Some(ip @ IpAddr::V6(_)) => line!(out, "c=IN IP6 {ip}"),
        None => line!(out, "c=IN IP4 0.0.0.0"),
    }
    if tagged {
        for (i, candidate) in d.candidates.iter().enumerate() {
            let (ip, port, priority) = (candidate.address.ip(), candidate.address.port(), candidate.priority);
            line!(out, "a=candidate:{} 1 udp {priority} {ip} {port} typ host", i + 1);
        }
        if d.end_of_candidates {
            line!(out, "a=end-of-candidates");
        }
    }
    transport(out, d)?;
    line!(out, "a=mid:{}", media.mid);
    if let Some(sctp) = media.sctp {
        line!(out, "a=sctp-port:{}", sctp.port);
        line!(out, "a=max-message-size:{}", sctp.max_message_bytes);
    }
    match media.kind {
        LineKind::Audio | LineKind::Video => rtp(out, media),
        LineKind::Data | LineKind::Other => Ok(()),
    }
}

fn rtp(out: &mut Lines, media: &MediaLine) -> Result {
    for extension in &media.extensions {
        match extension.direction {
            Some(way) => line!(out, "a=extmap:{}/{} {}", extension.id, direction(way), extension.uri),
            None => line!(out, "a=extmap:{} {}", extension.id, extension.uri),
        }
    }
    line!(out, "a={}", direction(media.direction));
    if let Some(msid) = &media.msid {
        match msid.track.is_empty() {
            true => line!(out, "a=msid:{}", msid.stream),
            false => line!(out, "a=msid:{} {}", msid.stream, msid.track),
        }
    }
    if media.rtcp_mux {
        line!(out, "a=rtcp-mux");
    }
    if media.rtcp_rsize {
        line!(out, "a=rtcp-rsize");
    }
    for codec in &media.codecs {
        match codec.channels {
            1 => line!(out, "a=rtpmap:{} {}/{}", codec.pt, codec.name, codec.clock),
            more => line!(out, "a=rtpmap:{} {}/{}/{more}", codec.pt, codec.name, codec.clock),
        }
        for feedback in &codec.feedback {
            line!(out, "a=rtcp-fb:{} {feedback}", codec.pt);
        }
        if !codec.fmtp.is_empty() {
            line!(out, "a=fmtp:{} {}", codec.pt, codec.fmtp);
        }
    }
    simulcast(out, media)?;
    for group in &media.groups {
        let members: Vec<String> = group.ssrcs.iter().map(u32::to_string).collect();
        line!(out, "a=ssrc-group:{} {}", group.semantics, members.join(" "));
    }
    for ssrc in &media.ssrcs {
        line!(out, "a=ssrc:{} cname:{}", ssrc.ssrc, ssrc.cname);
    }
    Ok(())
}

fn simulcast(out: &mut Lines, media: &MediaLine) -> Result {
    let way = |send: bool| if send { "send" } else { "recv" };
    for rid in &media.rids {
        line!(out, "a=rid:{} {}", rid.id, way(rid.send));
    }
    let list = |send: bool| {
        let of = media.rids.iter().filter(|rid| rid.send == send);
        let names: Vec<String> = of.map(|rid| format!("{}{}", if rid.paused { "~" } else { "" }, rid.id)).collect();
        (!names.is_empty()).then(|| format!(" {} {}", way(send), names.join(";")))
    };
    let both = [true, false].into_iter().filter_map(list).collect::<String>();
    if !both.is_empty() {
        line!(out, "a=simulcast:{}", both.trim_start());
    }
    Ok(())
}

fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::SendRecv => "sendrecv",
        Direction::SendOnly => "sendonly",
        Direction::RecvOnly => "recvonly",
        Direction::Inactive => "inactive",
    }
}
