//! The recorded media that bots play: made once by ffmpeg, kept in a folder, read from there.

use anyhow::{Context, Result, bail};
use lyceum_bot::Clip;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

/// Encodings of the camera, smallest first: width, height, bitrate in kbit/s.
const ENCODINGS: [(u16, u16, u32); 3] = [(320, 180, 150), (640, 360, 500), (1280, 720, 1_500)];
/// The camera of somebody in a class, as others' small tiles show it: width, height, bitrate in kbit/s.
const SMALL: (u16, u16, u32) = (160, 90, 30);
/// Pictures a second.
const RATE: u32 = 30;
/// … of the small camera: hundreds of them have to fit into one machine.
const SMALL_RATE: u32 = 8;
/// Seconds of media before the loop begins again.
const SECONDS: u32 = 8;
/// Name of the folder; the number rises when what is in it changes.
const FOLDER: &str = "lyceum-media-1";

/// Clips shared by all bots of a run.
#[derive(Debug, Clone)]
pub struct Media {
    /// The camera's encodings, smallest first.
    pub camera: Vec<Arc<Clip>>,
    /// The camera of somebody in a class: one small encoding.
    pub small: Arc<Clip>,
    /// A voice.
    pub voice: Arc<Clip>,
}

/// The folder used when none is named: below `$XDG_CACHE_HOME`, `$HOME/.cache`, or the system's folder for temporary files.
#[must_use]
pub fn default_folder() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    cache.or_else(home).unwrap_or_else(std::env::temp_dir).join(FOLDER)
}

impl Media {
    /// Reads the clips in `folder`, and has ffmpeg make those that are missing.
    ///
    /// # Errors
    /// When ffmpeg is missing or fails, or a file is no clip.
    pub async fn open(folder: &Path) -> Result<Self> {
        tokio::fs::create_dir_all(folder).await.with_context(|| format!("cannot make {}", folder.display()))?;
        let mut camera = Vec::new();
        for (width, height, kbps) in ENCODINGS {
            camera.push(picture(folder, &format!("camera-{width}x{height}"), (width, height), kbps, RATE).await?);
        }
        let (width, height, kbps) = SMALL;
        let small = picture(folder, "camera-small", (width, height), kbps, SMALL_RATE).await?;
        let file = folder.join("voice.ogg");
        let sound = format!("sine=frequency=220:beep_factor=4:duration={SECONDS}");
        #[rustfmt::skip]
        let arguments = ["-f", "lavfi", "-i", &sound, "-ac", "1", "-c:a", "libopus", "-b:a", "32k", "-frame_duration", "20"];
        let bytes = made(&file, "ogg", &arguments).await?;
        let voice = Clip::opus_from_ogg(&bytes).with_context(|| format!("{} is no clip", file.display()))?;
        Ok(Self { camera, small, voice: Arc::new(voice) })
    }
}

/// One encoding of the camera; a key frame every two seconds.
async fn picture(folder: &Path, name: &str, size: (u16, u16), kbps: u32, rate: u32) -> Result<Arc<Clip>> {
    let (width, height) = size;
    let file = folder.join(format!("{name}.ivf"));
    let bitrate = format!("{kbps}k");
    let source = format!("testsrc2=size={width}x{height}:rate={rate}");
    let (seconds, keys) = (SECONDS.to_string(), (rate * 2).to_string());
    #[rustfmt::skip]
    let arguments = [
        "-f", "lavfi", "-i", &source, "-t", &seconds, "-pix_fmt", "yuv420p",
        "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-threads", "1", "-g", &keys, "-keyint_min", &keys,
        "-b:v", &bitrate, "-maxrate", &bitrate, "-bufsize", &bitrate, "-auto-alt-ref", "0", "-lag-in-frames", "0",
    ];
    let bytes = made(&file, "ivf", &arguments).await?;
    let clip = Clip::vp8_from_ivf(&bytes).with_context(|| format!("{} is no clip", file.display()))?;
    Ok(Arc::new(clip))
}

/// The file's bytes; ffmpeg writes it first when it is not there, under another name until it is whole.
async fn made(file: &Path, format: &str, arguments: &[&str]) -> Result<Vec<u8>> {
    if !tokio::fs::try_exists(file).await.unwrap_or(false) {
        let part = file.with_extension(format!("part-{}", std::process::id()));
        let mut command = tokio::process::Command::new("ffmpeg");
        command.args(["-nostdin", "-v", "error", "-y"]).args(arguments).args(["-f", format]).arg(&part);
        let output = command.stdin(Stdio::null()).output().await;
        let output = output.context("ffmpeg makes the bots' media and is not installed: `apt-get install ffmpeg`")?;
        if !output.status.success() {
            bail!("ffmpeg could not make {}: {}", file.display(), String::from_utf8_lossy(&output.stderr).trim());
        }
        tokio::fs::rename(&part, file).await.with_context(|| format!("cannot write {}", file.display()))?;
    }
    tokio::fs::read(file).await.with_context(|| format!("cannot read {}", file.display()))
}
