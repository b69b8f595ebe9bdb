/** The own camera and microphone: opened on the start screen, carried into the room. */
import {
  CAMERA_SIZE,
  DeviceError,
  type DeviceProblem,
  type Devices,
  listDevices,
  openCamera,
  openMicrophone,
  watchDevices,
} from '@lyceum/client';
import { changeSettings, settings } from './settings';

const SAVING_SIZE = { width: 640, height: 360, frameRate: 20 };

export type What = 'camera' | 'microphone';

export interface LocalDevice {
  /** A camera that is off has none. A microphone that is muted keeps its own, so that it is back at once. */
  readonly track: MediaStreamTrack | null;
  /** Wanted on. */
  readonly on: boolean;
  readonly opening: boolean;
  readonly problem: DeviceProblem | null;
}

export interface LocalState {
  readonly camera: LocalDevice;
  readonly microphone: LocalDevice;
  readonly devices: Devices;
}

export class LocalMedia {
  #state: LocalState;
  readonly #listeners = new Set<() => void>();
  readonly #unwatch: () => void;
  /** The newest opening of each device wins, whichever finishes last. */
  readonly #turn: Record<What, number> = { camera: 0, microphone: 0 };

  constructor() {
    const off: LocalDevice = { track: null, on: false, opening: false, problem: null };
    this.#state = {
      camera: { ...off, on: settings().cameraOn },
      microphone: { ...off, on: settings().microphoneOn },
      devices: { cameras: [], microphones: [], speakers: [] },
    };
    this.#unwatch = watchDevices(() => void this.#list());
  }

  get state(): LocalState {
    return this.#state;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Opens what the person last had on. The microphone first: it is the one that matters. */
  async begin(): Promise<void> {
    if (this.#state.microphone.on) await this.#open('microphone');
    if (this.#state.camera.on) await this.#open('camera');
    await this.#list();
  }

  async toggle(what: What): Promise<void> {
    const on = !this.#state[what].on;
    changeSettings(what === 'camera' ? { cameraOn: on } : { microphoneOn: on });
    this.#set(what, { on });
    const { track } = this.#state[what];
    if (what === 'microphone' && track) {
      track.enabled = on;
      this.#set(what, {});
    } else if (on) await this.#open(what);
    else this.#close(what);
  }

  async choose(what: What, deviceId: string): Promise<void> {
    changeSettings({ [what]: deviceId });
    if (this.#state[what].on || this.#state[what].track) await this.#open(what);
  }

  /** The quality has changed: the camera is opened again with another size. */
  async resize(): Promise<void> {
    if (this.#state.camera.track) await this.#open('camera');
  }

  end(): void {
    this.#unwatch();
    this.#close('camera');
    this.#close('microphone');
  }

  async #open(what: What): Promise<void> {
    const turn = ++this.#turn[what];
    this.#set(what, { opening: true, problem: null });
    try {
      const track = await this.#capture(what, settings()[what]);
      if (turn !== this.#turn[what]) {
        track.stop();
        return;
      }
      this.#state[what].track?.stop();
      track.onended = () => {
        if (this.#state[what].track === track)
          this.#set(what, { track: null, on: false, problem: 'missing' });
      };
      if (what === 'microphone') track.enabled = this.#state.microphone.on;
      this.#set(what, { track, opening: false });
      // Labels are known only now.
      await this.#list();
    } catch (error) {
      if (turn !== this.#turn[what]) return;
      const problem = error instanceof DeviceError ? error.problem : 'unsupported';
      this.#state[what].track?.stop();
      this.#set(what, { track: null, on: false, opening: false, problem });
    }
  }

  async #capture(what: What, deviceId: string): Promise<MediaStreamTrack> {
    const size = settings().quality === 'saving' ? SAVING_SIZE : CAMERA_SIZE;
    const open = (id?: string) => (what === 'camera' ? openCamera(id, size) : openMicrophone(id));
    if (deviceId === '') return open();
    try {
      return await open(deviceId);
    } catch (error) {
      // The device of the last visit is not there today.
      if (error instanceof DeviceError && error.problem === 'missing') return open();
      throw error;
    }
  }

  #close(what: What): void {
    this.#turn[what]++;
    this.#state[what].track?.stop();
    this.#set(what, { track: null, opening: false });
  }

  async #list(): Promise<void> {
    this.#state = { ...this.#state, devices: await listDevices() };
    this.#tell();
  }

  #set(what: What, change: Partial<LocalDevice>): void {
    this.#state = { ...this.#state, [what]: { ...this.#state[what], ...change } };
    this.#tell();
  }

  #tell(): void {
    this.#listeners.forEach(listener => listener());
  }
}
