//! Writes the TypeScript side of the contract: what the web SDK imports is generated from the Rust types.
//!
//! `cargo test -p lyceum-wire --features ts` rewrites `client-sdk/web/src/generated/`; the files are committed, and a
//! second run changes nothing, so a difference after a test run means that the contract moved.
#![cfg(feature = "ts")]
#![allow(clippy::unwrap_used)]

use lyceum_wire::{api, signal};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use ts_rs::TS;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../client-sdk/web/src/generated")
}

#[test]
fn generated_types_are_what_the_contract_says() {
    let folder = folder();
    fs::create_dir_all(&folder).unwrap();
    let before = names(&folder);
    let config = ts_rs::Config::new().with_out_dir(&folder).with_large_int("number");
    signal::ToEdge::export_all(&config).unwrap();
    signal::ToClient::export_all(&config).unwrap();
    signal::ClientSays::export_all(&config).unwrap();
    signal::EdgeSays::export_all(&config).unwrap();
    api::Problem::export_all(&config).unwrap();
    api::TokenRequest::export_all(&config).unwrap();
    api::TokenAnswer::export_all(&config).unwrap();
    api::JoinRequest::export_all(&config).unwrap();
    api::Placement::export_all(&config).unwrap();
    api::Regions::export_all(&config).unwrap();
    fs::write(folder.join("constants.ts"), constants()).unwrap();

    let all = names(&folder);
    let index: String = all
        .iter()
        .map(|name| match name.as_str() {
            "constants" => "export * from \"./constants\";\n".to_owned(),
            _ => format!("export type {{ {name} }} from \"./{name}\";\n"),
        })
        .collect();
    fs::write(folder.join("index.ts"), format!("{HEAD}{index}")).unwrap();

    assert!(all.contains("ToEdge") && all.contains("RoomMessage") && all.contains("Placement"));
    let says = fs::read_to_string(folder.join("ClientSays.ts")).unwrap();
    assert!(says.contains("\"type\": \"hello\""), "the tag is part of the type");
    assert!(before.is_subset(&all));
}

/// Modules in the folder, but the index.
fn names(folder: &PathBuf) -> BTreeSet<String> {
    fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".ts").map(str::to_owned))
        .filter(|name| name != "index")
        .collect()
}

fn constants() -> String {
    format!(
        "{HEAD}/** Protocol version, sent in `hello`. */\n\
         export const VERSION = {};\n\
         /** Longest WebSocket message an edge takes, in bytes. */\n\
         export const MESSAGE_BYTES_MAX = {};\n\
         /** Longest body of a room message, in bytes of JSON. */\n\
         export const BODY_BYTES_MAX = {};\n\
         /** A session waits this long for its socket to come back, in milliseconds. */\n\
         export const RESUME_MS = {};\n\
         /** Messages kept for a late joiner. */\n\
         export const HISTORY_MESSAGES = {};\n\
         /** Voices one `view` may name in `listen`. */\n\
         export const LISTEN_MAX = {};\n",
        signal::VERSION,
        signal::MESSAGE_BYTES_MAX,
        signal::BODY_BYTES_MAX,
        signal::RESUME_MS,
        signal::HISTORY_MESSAGES,
        signal::LISTEN_MAX,
    )
}

const HEAD: &str = "// Generated from the Rust types by `cargo test -p lyceum-wire --features ts`. Do not edit.\n";
