//! Janus with its VideoRoom: the publisher offers, Janus offers to those who watch.
//!
//! Its HTTP interface: requests are posted to a session's handle, what comes of them is fetched by a long poll of the session.

use crate::ground::{Ground, SERVERS};
use crate::server::{Http, Process, Server};
use anyhow::{Context, Result, bail};
use lyceum_crowd::{Knock, Publisher, Shape, Viewer, Way};
use lyceum_session::sdp::{Accept, AcceptCodec, Answer, Candidate, Direction, Offer, Origin, Transport};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const PLUGIN: &str = "janus.plugin.videoroom";
const PORT: u16 = 8_088;
/// Where Debian has what is loaded.
const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu/janus";
/// Preference of the one candidate there is.
const ONLY: u16 = 65_535;
/// Events looked at while one is waited for.
const EVENTS_MAX: usize = 1_000;

/// A running Janus and our session with it.
pub(crate) struct Janus {
    process: Process,
    http: Http,
    name: String,
    /// The session's URL.
    session: String,
    /// Rooms that stand, and who publishes there.
    feeds: BTreeMap<u32, Value>,
}

impl Janus {
    pub(crate) fn start(ground: &Ground, binary: &Path, folder: &Path, core: usize) -> Result<Self> {
        let log = folder.join("janus.log");
        let mut command = ground.command(binary, core);
        command.arg("-C").arg(configure(folder)?);
        let mut process = Process::start(command, &log)?;
        let http = Http::new()?;
        let url = format!("http://{SERVERS}:{PORT}/janus");
        let info = process.until(&log, || http.get(&format!("{url}/info")).ok())?;
        let name = format!("Janus {}", info["version_string"].as_str().unwrap_or("?"));
        let made = http.post(&url, None, &json!({ "janus": "create", "transaction": "t" }))?;
        let session = made["data"]["id"].as_u64().context("Janus makes no session")?;
        Ok(Self { process, http, name, session: format!("{url}/{session}"), feeds: BTreeMap::new() })
    }

    fn attach(&self) -> Result<u64> {
        let ask = json!({ "janus": "attach", "plugin": PLUGIN, "transaction": "t" });
        self.http.post(&self.session, None, &ask)?["data"]["id"].as_u64().context("Janus attaches no handle")
    }

    /// Posts to a handle; the answer is there at once for what is synchronous.
    fn message(&self, handle: u64, body: &Value, jsep: Option<Value>) -> Result<Value> {
        let mut ask = json!({ "janus": "message", "body": body, "transaction": "t" });
        if let Some(jsep) = jsep {
            ask["jsep"] = jsep;
        }
        let answer = self.http.post(&format!("{}/{handle}", self.session), None, &ask)?;
        match answer["janus"].as_str() {
            Some("ack" | "success") => Ok(answer),
            _ => bail!("Janus says {answer}"),
        }
    }

    /// The plugin's next event for a handle.
    fn event(&self, handle: u64) -> Result<Value> {
        for _ in 0..EVENTS_MAX {
            let event = self.http.get(&format!("{}?maxev=1", self.session))?;
            if event["janus"] == "event" && event["sender"] == handle {
                if let Some(error) = event["plugindata"]["data"]["error"].as_str() {
                    bail!("Janus says {error}");
                }
                return Ok(event);
            }
        }
        bail!("Janus says nothing of what was asked")
    }
}

impl Server for Janus {
    fn name(&self) -> &str {
        &self.name
    }

    fn pids(&self) -> Vec<u32> {
        vec![self.process.pid()]
    }

    fn publish(&mut self, room: u32, knock: Knock, local: SocketAddr, shape: Shape) -> Result<Publisher> {
        let handle = self.attach()?;
        // Key frames as they are asked for, bandwidth without a bound: as ours has it.
        let make = json!({ "request": "create", "room": room, "publishers": 1, "videocodec": "vp8", "bitrate": 0, "fir_freq": 0 });
        self.message(handle, &make, None)?;
        let join = json!({ "request": "joinandconfigure", "ptype": "publisher", "room": room });
        let offer = whole(&knock.offer(Way::Publish), local);
        self.message(handle, &join, Some(json!({ "type": "offer", "sdp": offer })))?;
        let joined = self.event(handle)?;
        self.feeds.insert(room, joined["plugindata"]["data"]["id"].clone());
        let answer = joined["jsep"]["sdp"].as_str().context("Janus answers without SDP")?;
        let answer = Answer::parse(answer).context("Janus's answer cannot be read")?;
        Ok(knock.publish(&answer, local, shape, Instant::now())?)
    }

    fn view(&mut self, room: u32, knock: Knock, local: SocketAddr) -> Result<Viewer> {
        let feed = self.feeds.get(&room).context("nobody publishes there")?;
        let join = json!({ "request": "join", "ptype": "subscriber", "room": room, "streams": [{ "feed": feed }] });
        let until = Instant::now() + FEED_WITHIN;
        let (handle, joined) = loop {
            let handle = self.attach()?;
            self.message(handle, &join, None)?;
            match self.event(handle) {
                Ok(joined) => break (handle, joined),
                // The publisher's media have only just been connected.
                Err(error) if format!("{error:#}").contains("No such feed") && Instant::now() < until => {
                    std::thread::sleep(FEED_AGAIN);
                }
                Err(error) => return Err(error),
            }
        };
        let offer = joined["jsep"]["sdp"].as_str().context("Janus offers without SDP")?;
        let offer = Offer::parse(offer).context("Janus's offer cannot be read")?;
        let answer = client_answer(&offer, &knock, local)?;
        self.message(handle, &json!({ "request": "start" }), Some(json!({ "type": "answer", "sdp": answer })))?;
        self.event(handle)?;
        Ok(knock.view(&offer, local, Instant::now())?)
    }
}

/// How long Janus may take to know a publisher as a feed, and how often it is asked.
const FEED_WITHIN: Duration = Duration::from_secs(5);
const FEED_AGAIN: Duration = Duration::from_millis(100);

/// Writes a configuration with nothing in it but what is needed. Janus is told to be ICE-lite, as our edge is, and to load
/// the one plugin and the one transport.
fn configure(folder: &Path) -> Result<PathBuf> {
    let etc = folder.join("janus");
    for kind in ["plugins", "transports"] {
        std::fs::create_dir_all(etc.join(kind))?;
    }
    for library in ["plugins/libjanus_videoroom.so", "transports/libjanus_http.so"] {
        let installed = Path::new(LIBRARIES).join(library);
        anyhow::ensure!(installed.exists(), "{} is not there: `apt-get install janus`", installed.display());
        std::os::unix::fs::symlink(installed, etc.join(library))?;
    }
    let path = etc.display();
    let main = format!(
        "general: {{ configs_folder = \"{path}\" plugins_folder = \"{path}/plugins\" transports_folder = \"{path}/transports\" \
         debug_level = 2 session_timeout = 0 }}\nmedia: {{ rtp_port_range = \"20000-60000\" }}\n\
         nat: {{ ice_lite = true ice_enforce_list = \"{SERVERS}\" }}\n"
    );
    let http = format!(
        "general: {{ json = \"compact\" base_path = \"/janus\" http = true port = {PORT} ip = \"{SERVERS}\" https = false }}\n\
         admin: {{ admin_http = false }}\n"
    );
    let files = [
        ("janus.jcfg", main.as_str()),
        ("janus.transport.http.jcfg", http.as_str()),
        ("janus.plugin.videoroom.jcfg", "general: { }\n"),
    ];
    for (name, text) in files {
        std::fs::write(etc.join(name), text)?;
    }
    Ok(etc.join("janus.jcfg"))
}

/// An offer with all its candidates in it, by somebody who wants to be DTLS client, as everywhere in this crowd.
fn whole(offer: &str, local: SocketAddr) -> String {
    let Candidate { address, priority } = Candidate::host(local, ONLY);
    let candidate = format!("a=candidate:1 1 udp {priority} {} {} typ host", address.ip(), address.port());
    let mut text = String::with_capacity(offer.len() + 2 * candidate.len());
    for line in offer.lines() {
        match line {
            "a=ice-options:trickle" => continue,
            "a=setup:actpass" => text.push_str("a=setup:active"),
            line => text.push_str(line),
        }
        text.push_str("\r\n");
        if line.starts_with("a=mid:") {
            text.push_str(&format!("{candidate}\r\na=end-of-candidates\r\n"));
        }
    }
    text
}

/// An answer that takes all that is offered. It is written as an edge writes it, and then made a client's: a full ICE
/// agent, DTLS client.
fn client_answer(offer: &Offer, knock: &Knock, local: SocketAddr) -> Result<String> {
    let transport = Transport {
        origin: Origin { id: 1, version: 1 },
        ice: knock.ice().clone(),
        fingerprint: knock.fingerprint(),
        candidates: vec![Candidate::host(local, ONLY)],
    };
    let mut answer = Answer::to(offer, transport);
    for (index, line) in offer.lines.iter().enumerate().filter(|(_, line)| !line.rejected) {
        let codec = |codec: &lyceum_session::sdp::Codec| AcceptCodec {
            pt: codec.pt,
            feedback: codec.feedback.clone(),
            fmtp: None,
        };
        let accept = Accept {
            direction: Direction::RecvOnly,
            codecs: line.codecs.iter().map(codec).collect(),
            extensions: line.extensions.iter().map(|extension| extension.id).collect(),
            rids: Vec::new(),
            sending: None,
        };
        answer.accept(offer, index, accept)?;
    }
    let text = answer.write().replace("a=ice-lite\r\n", "");
    Ok(text.replace("a=setup:passive", "a=setup:active"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_session::Config;

    #[test]
    fn what_janus_is_told_is_a_clients_and_whole() {
        let config = Config::new().unwrap();
        let knock = Knock::new(&config, 7, Instant::now());
        let local = SocketAddr::from(([10, 98, 0, 9], 4_000));
        let offer = whole(&knock.offer(Way::Publish), local);
        assert!(offer.contains("a=setup:active\r\n") && !offer.contains("actpass") && !offer.contains("trickle"));
        assert!(offer.contains("10.98.0.9 4000 typ host\r\na=end-of-candidates\r\n"));
        // What Janus offers reads like this; the answer is ours.
        let theirs = whole(&knock.offer(Way::Publish), local).replace("a=setup:active", "a=setup:actpass");
        let theirs = Offer::parse(&theirs).unwrap();
        let answer = client_answer(&theirs, &knock, local).unwrap();
        assert!(answer.contains("a=setup:active\r\n") && !answer.contains("passive") && !answer.contains("ice-lite"));
        assert!(answer.contains("a=recvonly\r\n") && answer.contains("10.98.0.9 4000 typ host"));
        assert!(answer.contains(&format!("a=ice-ufrag:{}\r\n", knock.ice().ufrag)));
    }

    #[test]
    fn the_configuration_asks_for_ice_lite_on_the_servers_address() {
        let folder = std::env::temp_dir().join(format!("peers-test-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        match configure(&folder) {
            Ok(file) => {
                let text = std::fs::read_to_string(file).unwrap();
                assert!(text.contains("ice_lite = true") && text.contains("10.97.0.2"), "{text}");
            }
            Err(error) => assert!(error.to_string().contains("apt-get install janus"), "{error}"),
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
