/** People in front of a browser. Everything is read off the page or the browser's statistics; nothing is asked of the product. */
import {
  type Browser,
  type BrowserContextOptions,
  chromium,
  type Locator,
  type Page,
  type WebSocketRoute,
} from 'playwright-core';
import { expect } from 'vitest';
import type { Served } from './mesh';
import type { Place } from './network';

/** Chromium with a turning circle for a camera and a beep for a voice, and nothing that calls home. */
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--use-fake-device-for-media-stream=fps=20',
  '--use-fake-ui-for-media-stream',
  '--allow-loopback-in-peer-connection',
  '--autoplay-policy=no-user-gesture-required',
];

/** Chromium here, or at a place of a test network. A page gets the camera at addresses that are `secure`. */
export function openBrowser({
  place,
  secure = [],
}: { place?: Place; secure?: string[] } = {}): Promise<Browser> {
  return chromium.launch({
    executablePath: place?.program ?? process.env.CHROMIUM_BIN ?? '/usr/bin/chromium',
    args: [
      ...FLAGS,
      ...(secure.length ? [`--unsafely-treat-insecure-origin-as-secure=${secure.join()}`] : []),
    ],
  });
}

/** A click or a look takes no longer than this, on a machine that has more to do than this test. */
const ACTION_TIMEOUT_MS = 60_000;

/** Waits until it is true. */
export function eventually<T>(look: () => T | Promise<T>, timeout = 20_000) {
  return expect.poll(look, { timeout, interval: 150 });
}

/** What the page's peer connections are known by. */
declare global {
  interface Window {
    peers: RTCPeerConnection[];
  }
}

export interface TileStats {
  framesDecoded: number;
  /** Pictures that stood for much longer than the ones before (W3C webrtc-stats, `freezeCount`). */
  freezes: number;
  width: number;
  height: number;
}

/** Sums over a camera's encodings. */
export interface Sent {
  /** Of the encoding with the most. */
  frames: number;
  packets: number;
  bytes: number;
  /** Of `bytes`, what was sent once more. */
  repairBytes: number;
  /** By the browser's clock. */
  atMs: number;
  encodings: Record<string, { targetBitrate: number; frameWidth: number; active: boolean }>;
}

/** One encoding of a camera that is published now. */
export interface Encoding {
  /** Empty when it is the only one. */
  rid: string;
  width: number;
  /** Layers within, as in `L2T3_KEY`. */
  mode: string;
  frames: number;
  keyFrames: number;
  /** How often a key frame was asked for. */
  asked: number;
  /** As in `video/VP8`. */
  codec: string;
}

export class Person {
  /** While true no signaling socket gets through. */
  socketsBlocked = false;
  socketsRefused = 0;
  /** While true edges do not know the session that is to be resumed. */
  sessionForgotten = false;
  readonly errors: string[] = [];
  readonly #sockets = new Set<WebSocketRoute>();

  private constructor(
    readonly page: Page,
    readonly mesh: Served,
    readonly name: string,
  ) {}

  static async open(
    browser: Browser,
    mesh: Served,
    name: string,
    options: BrowserContextOptions = {},
  ): Promise<Person> {
    const context = await browser.newContext({
      viewport: { width: 800, height: 600 },
      reducedMotion: 'reduce',
      ...options,
    });
    context.setDefaultTimeout(ACTION_TIMEOUT_MS);
    const page = await context.newPage();
    const person = new Person(page, mesh, name);
    page.on('pageerror', error => person.errors.push(error.message));
    await page.addInitScript(() => {
      const peers: RTCPeerConnection[] = (window.peers = []);
      window.RTCPeerConnection = class extends RTCPeerConnection {
        constructor(configuration?: RTCConfiguration) {
          super(configuration);
          peers.push(this);
        }
      };
      // Three encodings of 360 lines are what this machine can spare.
      if (!localStorage.getItem('lyceum'))
        localStorage.setItem('lyceum', JSON.stringify({ quality: 'saving' }));
    });
    await page.routeWebSocket(/\/v1\/signal/, socket => {
      if (person.socketsBlocked) {
        person.socketsRefused++;
        void socket.close();
        return;
      }
      person.#sockets.add(socket);
      const server = socket.connectToServer();
      socket.onMessage(message => server.send(person.sessionForgotten ? forget(String(message)) : message));
    });
    return person;
  }

  async goto(address: string): Promise<void> {
    await this.page.goto(this.mesh.url + address);
  }

  /** Through the start screen into the room, until picture and sound flow. */
  async join(room: string, region: 'eu' | 'us', address = ''): Promise<void> {
    await this.goto(`/?room=${room}${address}`);
    await this.enter(region);
  }

  /** From the start screen into the room. */
  async enter(region: 'eu' | 'us'): Promise<void> {
    await this.page.getByLabel('Your name').fill(this.name);
    await this.page.getByRole('radio', { name: region }).check({ force: true });
    await this.page.getByRole('button', { name: 'Join the room' }).click();
    await this.connected();
  }

  async connected(): Promise<void> {
    await this.page
      .locator('[data-phase=connected]')
      .waitFor({ state: 'attached', timeout: ACTION_TIMEOUT_MS });
  }

  /** The tile of somebody; `X’s screen` for a screen. */
  tile(name: string): Locator {
    return this.page.locator('article.tile').filter({ has: this.page.getByText(name, { exact: true }) });
  }

  /** What the browser says about the video in a tile. Zeros while there is none. */
  async stats(name: string): Promise<TileStats> {
    const nothing = { framesDecoded: 0, freezes: 0, width: 0, height: 0 };
    const tile = this.tile(name);
    if ((await tile.count()) !== 1) return nothing;
    return tile.locator('video').evaluate(async video => {
      const stream = (video as HTMLVideoElement).srcObject;
      const track = stream instanceof MediaStream ? stream.getVideoTracks()[0] : undefined;
      const receiver = window.peers.flatMap(peer => peer.getReceivers()).find(each => each.track === track);
      const found = { framesDecoded: 0, freezes: 0, width: 0, height: 0 };
      (await receiver?.getStats())?.forEach((row: Record<string, unknown>) => {
        if (row.type !== 'inbound-rtp') return;
        found.framesDecoded = Number(row.framesDecoded ?? 0);
        found.freezes = Number(row.freezeCount ?? 0);
        found.width = Number(row.frameWidth ?? 0);
        found.height = Number(row.frameHeight ?? 0);
      });
      return found;
    });
  }

  /** All sound heard so far, over all audio slots. */
  heard(): Promise<number> {
    return this.#sum('inbound-rtp', 'totalAudioEnergy');
  }

  /** Packets that have come in, decoded or not. */
  received(kind: 'audio' | 'video'): Promise<number> {
    return this.page.evaluate(async kind => {
      let packets = 0;
      (await window.peers.at(-1)?.getStats())?.forEach((row: Record<string, unknown>) => {
        if (row.type === 'inbound-rtp' && row.kind === kind) packets += Number(row.packetsReceived ?? 0);
      });
      return packets;
    }, kind);
  }

  /** All pictures decoded so far, over all slots of all connections. */
  seen(): Promise<number> {
    return this.#sum('inbound-rtp', 'framesDecoded');
  }

  /** What this browser sends of its camera, over all encodings. */
  sent(): Promise<Sent> {
    return this.page.evaluate(async () => {
      const sent = { frames: 0, packets: 0, bytes: 0, repairBytes: 0, atMs: 0, encodings: {} };
      (await window.peers.at(-1)?.getStats())?.forEach((row: Record<string, unknown>) => {
        if (row.type !== 'outbound-rtp' || row.kind !== 'video') return;
        sent.frames = Math.max(sent.frames, Number(row.framesEncoded ?? 0));
        sent.packets += Number(row.packetsSent ?? 0);
        sent.bytes += Number(row.bytesSent ?? 0);
        sent.repairBytes += Number(row.retransmittedBytesSent ?? 0);
        sent.atMs = Number(row.timestamp);
        const { targetBitrate = 0, frameWidth = 0, active = true } = row;
        Object.assign(sent.encodings, { [row.rid as string]: { targetBitrate, frameWidth, active } });
      });
      return sent;
    });
  }

  /** The encodings of what this browser sends now, by its statistics. */
  encodings(): Promise<Encoding[]> {
    return this.page.evaluate(async () => {
      const peer = window.peers.at(-1);
      const sending = peer
        ?.getTransceivers()
        .filter(({ currentDirection }) => currentDirection === 'sendonly');
      const mids = new Set(sending?.map(({ mid }) => mid));
      const rows = new Map<string, Record<string, unknown>>();
      (await peer?.getStats())?.forEach((row: Record<string, unknown>) => rows.set(String(row.id), row));
      return [...rows.values()]
        .filter(row => row.type === 'outbound-rtp' && row.kind === 'video' && mids.has(row.mid as string))
        .map(row => ({
          rid: typeof row.rid === 'string' ? row.rid : '',
          width: Number(row.frameWidth ?? 0),
          mode: typeof row.scalabilityMode === 'string' ? row.scalabilityMode : '',
          frames: Number(row.framesEncoded ?? 0),
          keyFrames: Number(row.keyFramesEncoded ?? 0),
          asked: Number(row.pliCount ?? 0) + Number(row.firCount ?? 0),
          codec: rows.get(String(row.codecId))?.mimeType as string,
        }));
    });
  }

  /** Codecs of the pictures that are in its tiles. */
  codecs(): Promise<string[]> {
    return this.page.evaluate(async () => {
      const shown = [...document.querySelectorAll('video')].flatMap(({ srcObject }) =>
        srcObject instanceof MediaStream ? srcObject.getVideoTracks() : [],
      );
      const receivers = window.peers.at(-1)?.getReceivers() ?? [];
      const codecs: string[] = [];
      for (const receiver of receivers.filter(({ track }) => shown.includes(track))) {
        const rows = new Map<string, Record<string, unknown>>();
        (await receiver.getStats()).forEach((row: Record<string, unknown>) => rows.set(String(row.id), row));
        const pictures = [...rows.values()].find(row => row.type === 'inbound-rtp');
        const codec = rows.get(String(pictures?.codecId))?.mimeType;
        if (Number(pictures?.framesDecoded ?? 0) > 0 && typeof codec === 'string') codecs.push(codec);
      }
      return codecs.sort();
    });
  }

  /** Sends its picture in another codec from now on, as the settings have it. */
  async sendAs(codec: string): Promise<void> {
    await this.page.getByRole('button', { name: 'Settings' }).click();
    await this.page.getByLabel('Sent as').selectOption(codec);
    await this.page.keyboard.press('Escape');
  }

  /** The page is behind others, or in front again, as the page itself sees it. */
  hide(hidden: boolean): Promise<void> {
    return this.page.evaluate(hidden => {
      Object.defineProperty(document, 'hidden', { configurable: true, value: hidden });
      document.dispatchEvent(new Event('visibilitychange'));
    }, hidden);
  }

  /** What marks the present ICE session. An ICE restart changes it. */
  iceSession(): Promise<string> {
    return this.page.evaluate(() => {
      const sdp = window.peers.at(-1)?.localDescription?.sdp ?? '';
      return /^a=ice-ufrag:(.*)$/m.exec(sdp)?.[1]?.trim() ?? '';
    });
  }

  /** `relay`, `host` …: how the packets leave this browser. */
  async way(): Promise<string> {
    return (await this.#leaves()).candidateType;
  }

  /** The port they leave from. */
  async port(): Promise<number> {
    return (await this.#leaves()).port;
  }

  #leaves(): Promise<{ candidateType: string; port: number }> {
    return this.page.evaluate(async () => {
      const report = (await window.peers.at(-1)?.getStats()) ?? new Map<string, Record<string, unknown>>();
      const rows = new Map<string, Record<string, unknown>>();
      report.forEach((row: Record<string, unknown>) => rows.set(String(row.id), row));
      const transport = [...rows.values()].find(row => row.type === 'transport');
      const pair = rows.get(String(transport?.selectedCandidatePairId));
      const local = rows.get(String(pair?.localCandidateId));
      return { candidateType: local?.candidateType as string, port: Number(local?.port ?? 0) };
    });
  }

  /** How many peer connections this page has made. */
  connections(): Promise<number> {
    return this.page.evaluate(() => window.peers.length);
  }

  async openChat(): Promise<void> {
    if ((await this.#chatField.count()) === 0) await this.page.getByRole('button', { name: /^Chat/ }).click();
    await this.#chatField.waitFor();
  }

  async closeChat(): Promise<void> {
    await this.#chatField.press('Escape');
    await this.#chatField.waitFor({ state: 'detached' });
  }

  get #chatField(): Locator {
    return this.page.getByLabel('Write to everybody');
  }

  async write(text: string): Promise<void> {
    await this.#chatField.fill(text);
    await this.#chatField.press('Enter');
  }

  /** The chat as it stands, what is still on its way left out. */
  chat(): Promise<string[]> {
    return this.page.locator('.said:not(.pending) .said-text').allTextContents();
  }

  /** Cuts the signaling socket, and keeps it cut. */
  async cut(): Promise<void> {
    this.socketsBlocked = true;
    await Promise.all(
      [...this.#sockets].map(socket => socket.close({ code: 3001, reason: 'cut by the test' })),
    );
    this.#sockets.clear();
  }

  async close(): Promise<void> {
    await this.page.context().close();
    expect(this.errors, `errors on ${this.name}'s page`).toEqual([]);
  }

  #sum(type: string, field: string): Promise<number> {
    return this.page.evaluate(
      async ([type, field]) => {
        let sum = 0;
        for (const peer of window.peers) {
          (await peer.getStats()).forEach((row: Record<string, unknown>) => {
            if (row.type === type) sum += Number(row[field] ?? 0);
          });
        }
        return sum;
      },
      [type, field] as const,
    );
  }
}

/** A `hello` that resumes a session nobody has heard of. */
function forget(message: string): string {
  const said = JSON.parse(message) as { resume?: { session: string } | null };
  if (said.resume) said.resume.session = `00${'f'.repeat(said.resume.session.length - 2)}`;
  return JSON.stringify(said);
}
