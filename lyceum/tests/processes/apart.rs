//! `lyceum control` and two `lyceum edge` as three processes, with a real etcd as the mesh's memory.

use crate::process::{PATIENCE, Process};
use crate::{assert_seen, lesson, regions, token};
use std::net::TcpListener;
use std::path::PathBuf;
use tokio::process::Command;

const NODE_SECRET: &str = "the-secret-of-nodes-0123456789";
const API_SECRET: &str = "the-secret-of-applications-0123";

struct Etcd {
    process: Process,
    url: String,
    folder: PathBuf,
}

impl Etcd {
    async fn start() -> Self {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (client, peer) = (free(), free());
        let url = format!("http://127.0.0.1:{client}");
        let peer = format!("http://127.0.0.1:{peer}");
        let folder = std::env::temp_dir().join(format!("lyceum-etcd-{}-{client}", std::process::id()));
        let mut command = Command::new("etcd");
        command.args(["--name", "one", "--data-dir"]).arg(&folder);
        command.args(["--listen-client-urls", &url, "--advertise-client-urls", &url]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("one={peer}"), "--unsafe-no-fsync"]);
        let process = Process::spawn(command);
        let healthy = async {
            while !reqwest::get(format!("{url}/health")).await.is_ok_and(|answer| answer.status().is_success()) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, healthy).await.expect("etcd (Debian: etcd-server) did not start");
        Self { process, url, folder }
    }
}

fn edge(region: &str, control: &str) -> Process {
    let arguments =
        ["edge", "--region", region, "--node", &format!("{region}-7"), "--control", control, "--listen", "127.0.0.1:0"];
    Process::start(&[&arguments[..], &["--shards", "1"]].concat(), &[("LYCEUM_NODE_SECRET", NODE_SECRET)])
}

#[tokio::test]
async fn three_processes_and_etcd_carry_a_lesson() {
    let etcd = Etcd::start().await;
    let secrets = [("LYCEUM_NODE_SECRET", NODE_SECRET), ("LYCEUM_API_SECRET", API_SECRET)];
    let arguments = ["control", "--listen", "127.0.0.1:0", "--etcd", &etcd.url];
    let mut control = Process::start(&arguments, &secrets);
    let url = control.ready().await;
    let (mut eu, mut us) = (edge("eu", &url), edge("us", &url));
    eu.ready().await;
    let us_url = us.ready().await;
    let told = regions(&url).await;
    assert!(!told.open, "without --open nobody mints tokens for nothing");
    assert_eq!(told.regions.len(), 2);
    let refused = reqwest::Client::new().post(format!("{url}/v1/tokens"));
    let refused = refused.json(&serde_json::json!({ "room": "physics", "name": "Eve" })).send().await.unwrap();
    assert_eq!(refused.status(), 401);

    assert_seen(&lesson(&url, Some(API_SECRET)).await);
    let metrics = reqwest::get(format!("{us_url}/metrics")).await.unwrap().text().await.unwrap();
    let sample = |name: &str| -> f64 {
        let line = metrics.lines().find(|line| line.starts_with(name) && !line.starts_with('#'));
        line.unwrap_or_else(|| panic!("no {name}: {metrics}")).rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert_eq!(sample("lyceum_link_up{peer=\"eu-7\"}"), 1.0);
    assert!(sample("lyceum_link_media_in_total") + sample("lyceum_link_media_out_total") > 100.0, "{metrics}");

    // The control plane's memory is etcd: another one goes on where this one ended.
    control.terminate();
    assert_eq!(control.end().await.code, Some(0));
    let port = url.rsplit(':').next().unwrap().to_owned();
    let arguments = ["control", "--listen", &format!("127.0.0.1:{port}"), "--etcd", &etcd.url];
    let mut control = Process::start(&arguments, &secrets);
    assert_eq!(control.ready().await, url);
    let both = async {
        while regions(&url).await.regions.len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, both).await.expect("the edges were not known again");
    assert!(!token(&url, "physics", "Ana", API_SECRET).await.token.is_empty());
    assert_seen(&lesson(&url, Some(API_SECRET)).await);

    for process in [eu, us, control] {
        process.terminate();
        assert_eq!(process.end().await.code, Some(0));
    }
    etcd.process.terminate();
    etcd.process.end().await;
    std::fs::remove_dir_all(&etcd.folder).unwrap();
}
