//! Decides which page goes into the binary: the built one, or one that says how to build it, so that the workspace
//! builds without Node.

use std::path::{Path, PathBuf};

const INSTEAD: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Lyceum</title>\
<body><h1>The page was not built</h1><p>This binary was built without its page. Run <code>make page</code> \
(it needs Node), then build again.</p><p>Everything else works: see <code>GET /v1/regions</code>.</p></body></html>\n";

fn main() -> std::io::Result<()> {
    let here = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let built = here.join("../classroom/web/dist");
    let folder = if built.join("index.html").is_file() {
        // New files in it make a new binary.
        watch(&built);
        built.canonicalize()?
    } else {
        let folder = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default()).join("page");
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("index.html"), INSTEAD)?;
        watch(&built.join("index.html"));
        folder
    };
    say(&format!("cargo:rustc-env=LYCEUM_PAGE={}", folder.display()));
    say("cargo:rerun-if-changed=build.rs");
    Ok(())
}

fn watch(path: &Path) {
    say(&format!("cargo:rerun-if-changed={}", path.display()));
}

#[allow(clippy::print_stdout)] // how a build script speaks
fn say(line: &str) {
    println!("{line}");
}
