//! Answers one browser: takes its offer from standard input, prints the answer, and echoes what comes over data channels.
//! The one argument is the address to listen at, `127.0.0.1:0` without.
//!
//! What happens is printed as lines: `selected …`, `connected …`, `channel …`, `message …`, `failed …`. Media is accepted and
//! thrown away.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "a shell around the core: it has the socket and the clock"
)]

use lyceum_session::ice::Credentials;
use lyceum_session::sdp::{
    Accept, AcceptCodec, Answer, Candidate, Direction, LineKind, MediaLine, Offer, Origin, Transport,
};
use lyceum_session::{Config, Output, Session};
use std::error::Error;
use std::io::Read;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn Error>> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let offer = Offer::parse(&text)?;

    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let socket = UdpSocket::bind(address)?;
    let here = socket.local_addr()?;
    let config = Config::new()?;
    let mut random = [0; 24];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    let ice = Credentials::from_random(random);
    print!("{}", answer(&offer, &config, &ice, Candidate::host(here, 65_535))?);
    println!("end of answer");

    let mut session = Session::server(&config, ice, offer.remote(), Instant::now());
    let mut datagram = [0; 2048];
    while !session.is_over() {
        let until =
            session.deadline().map_or(Duration::from_secs(1), |at| at.saturating_duration_since(Instant::now()));
        socket.set_read_timeout(Some(until.max(Duration::from_millis(1))))?;
        match socket.recv_from(&mut datagram) {
            // RTP and RTCP are not the session's (RFC 7983 §7).
            Ok((bytes, from)) if !(128..=191).contains(&datagram[0]) => {
                session.handle(from, here, &datagram[..bytes], Instant::now());
            }
            Ok(_) => {}
            Err(_) => session.handle_timeout(Instant::now()),
        }
        drain(&mut session, &socket)?;
    }
    Ok(())
}

fn drain(session: &mut Session, socket: &UdpSocket) -> Result<(), Box<dyn Error>> {
    while let Some(output) = session.poll() {
        match output {
            Output::Transmit { pair, bytes } => {
                socket.send_to(&bytes, pair.remote)?;
            }
            Output::Selected { pair } => println!("selected {}", pair.remote),
            Output::Connected { srtp } => println!("connected {:?}", srtp.map(|keys| keys.profile)),
            Output::ChannelOpen { channel, options } => println!("channel {} {options:?}", channel.0),
            Output::ChannelMessage { channel, kind, data } => {
                println!("message {} {kind:?} {} bytes", channel.0, data.len());
                if let Err(error) = session.send(channel, kind, &data, Instant::now()) {
                    println!("not echoed: {error}");
                }
            }
            Output::ChannelClosed { channel } => println!("closed {}", channel.0),
            Output::Failed { why } => println!("failed {why:?} drops {:?}", session.drops().iter().collect::<Vec<_>>()),
        }
    }
    Ok(())
}

fn answer(offer: &Offer, config: &Config, ice: &Credentials, here: Candidate) -> Result<String, Box<dyn Error>> {
    let transport = Transport {
        origin: Origin { id: 1, version: 1 },
        ice: ice.clone(),
        fingerprint: config.fingerprint(),
        candidates: vec![here],
    };
    let mut answer = Answer::to(offer, transport);
    for (i, line) in offer.lines.iter().enumerate().filter(|(_, line)| !line.rejected) {
        match line.kind {
            LineKind::Data => answer.accept_data(offer, i)?,
            LineKind::Audio | LineKind::Video => answer.accept(offer, i, everything(line))?,
            LineKind::Other => {}
        }
    }
    Ok(answer.write())
}

/// The first codec with its RTX, all extensions, all layers; nothing is sent.
fn everything(line: &MediaLine) -> Accept {
    let first = line.codecs.iter().find(|codec| codec.rtx_for().is_none());
    let pts = first.into_iter().flat_map(|codec| [Some(codec.pt), line.rtx_of(codec.pt)]).flatten();
    let codec = |pt| AcceptCodec {
        pt,
        feedback: line.codec(pt).map(|codec| codec.feedback.clone()).unwrap_or_default(),
        fmtp: None,
    };
    Accept {
        direction: Direction::RecvOnly,
        codecs: pts.map(codec).collect(),
        extensions: line.extensions.iter().map(|extension| extension.id).collect(),
        rids: line.rids.iter().filter(|rid| rid.send).map(|rid| rid.id.clone()).collect(),
        sending: None,
    }
}
