/** Cameras, microphones, screens and loudspeakers, with clear words when there is none. */

export type DeviceProblem =
  /** The person or the browser's settings refused it. */
  | 'refused'
  /** There is no such device. */
  | 'missing'
  /** Another program holds it, or it broke. */
  | 'busy'
  /** This page may not use devices at all: no HTTPS, or an old browser. */
  | 'unsupported';

export class DeviceError extends Error {
  override readonly name = 'DeviceError';

  constructor(
    readonly problem: DeviceProblem,
    options?: ErrorOptions,
  ) {
    super(`The device cannot be used: ${problem}.`, options);
  }
}

/** How large a camera's picture should be. */
export interface CameraSize {
  width: number;
  height: number;
  frameRate: number;
}

export const CAMERA_SIZE: CameraSize = { width: 1280, height: 720, frameRate: 30 };

/** Opens a camera. */
export async function openCamera(
  deviceId?: string,
  size: CameraSize = CAMERA_SIZE,
): Promise<MediaStreamTrack> {
  return first(
    await capture({
      video: {
        ...(deviceId ? { deviceId: { exact: deviceId } } : {}),
        width: { ideal: size.width },
        height: { ideal: size.height },
        frameRate: { ideal: size.frameRate },
      },
    }),
  );
}

/** Opens a microphone, with the browser's echo and noise suppression. */
export async function openMicrophone(deviceId?: string): Promise<MediaStreamTrack> {
  return first(
    await capture({
      audio: {
        ...(deviceId ? { deviceId: { exact: deviceId } } : {}),
        echoCancellation: true,
        noiseSuppression: true,
        autoGainControl: true,
      },
    }),
  );
}

/** Lets the person choose a screen or window. The sound is there only when the browser offers it. */
export async function openScreen(): Promise<{ video: MediaStreamTrack; audio: MediaStreamTrack | null }> {
  if (!canShareScreen()) throw new DeviceError('unsupported');
  let stream: MediaStream;
  try {
    stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { max: 15 } }, audio: true });
  } catch (error) {
    throw deviceError(error);
  }
  const video = first(stream);
  video.contentHint = 'detail';
  return { video, audio: stream.getAudioTracks()[0] ?? null };
}

export function canShareScreen(): boolean {
  return typeof mediaDevices()?.getDisplayMedia === 'function';
}

export interface Devices {
  cameras: MediaDeviceInfo[];
  microphones: MediaDeviceInfo[];
  speakers: MediaDeviceInfo[];
}

/** What is plugged in. Labels are empty until a device of the kind was opened once. */
export async function listDevices(): Promise<Devices> {
  const all = (await mediaDevices()?.enumerateDevices()) ?? [];
  const of = (kind: MediaDeviceKind) => all.filter(device => device.kind === kind && device.deviceId !== '');
  return { cameras: of('videoinput'), microphones: of('audioinput'), speakers: of('audiooutput') };
}

/** Calls `changed` when something is plugged in or out. */
export function watchDevices(changed: () => void): () => void {
  const devices = mediaDevices();
  devices?.addEventListener('devicechange', changed);
  return () => devices?.removeEventListener('devicechange', changed);
}

/** Measures how loud a track is. */
export class LevelMeter {
  readonly #context = new AudioContext();
  readonly #analyser = this.#context.createAnalyser();
  readonly #samples: Float32Array<ArrayBuffer>;

  constructor(track: MediaStreamTrack) {
    this.#analyser.fftSize = 1024;
    this.#samples = new Float32Array(this.#analyser.fftSize);
    this.#context.createMediaStreamSource(new MediaStream([track])).connect(this.#analyser);
    void this.#context.resume();
  }

  /** 0 (silence, below −60 dBFS) to 1 (full scale). */
  level(): number {
    this.#analyser.getFloatTimeDomainData(this.#samples);
    let sum = 0;
    for (const sample of this.#samples) sum += sample * sample;
    const decibel = 10 * Math.log10(sum / this.#samples.length + 1e-9);
    return Math.min(1, Math.max(0, (decibel + 60) / 60));
  }

  close(): void {
    void this.#context.close();
  }
}

async function capture(constraints: MediaStreamConstraints): Promise<MediaStream> {
  const devices = mediaDevices();
  if (!devices) throw new DeviceError('unsupported');
  try {
    return await devices.getUserMedia(constraints);
  } catch (error) {
    throw deviceError(error);
  }
}

function deviceError(error: unknown): DeviceError {
  const name = error instanceof Error ? error.name : '';
  const problem: DeviceProblem =
    name === 'NotAllowedError' || name === 'SecurityError'
      ? 'refused'
      : name === 'NotFoundError' || name === 'OverconstrainedError'
        ? 'missing'
        : name === 'NotReadableError' || name === 'AbortError'
          ? 'busy'
          : 'unsupported';
  return new DeviceError(problem, { cause: error });
}

function first(stream: MediaStream): MediaStreamTrack {
  const track = stream.getVideoTracks()[0] ?? stream.getAudioTracks()[0];
  if (!track) throw new DeviceError('missing');
  return track;
}

/** Missing on pages without HTTPS, whatever the types say. */
function mediaDevices(): MediaDevices | undefined {
  return (navigator as { mediaDevices?: MediaDevices }).mediaDevices;
}
