/** A whole mesh on free loopback ports: control plane, two regions, page. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** What bots play, made by ffmpeg once. */
const MEDIA = join(tmpdir(), 'lyceum-browser-test-media');
const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 10_000;

/** What the tests read of the outcome of `lyceum load --json`. */
export interface LoadOutcome {
  bots: number;
  joined: number;
  frames: number;
  corrupt: number;
  audio_packets: number;
  faults: number;
  troubles: { what: string }[];
}

export class Mesh {
  private constructor(
    readonly url: string,
    readonly process: ChildProcess,
    readonly log: string[],
  ) {}

  static start(): Promise<Mesh> {
    const child = spawn(binary(), ['mesh', '--listen', '127.0.0.1:0'], {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const log: string[] = [];
    return new Promise((resolve, reject) => {
      const failed = (why: string) => reject(new Error(`${why}\n${log.slice(-30).join('\n')}`));
      const timer = setTimeout(() => {
        child.kill('SIGKILL');
        failed('the mesh was not ready in time');
      }, START_TIMEOUT_MS);
      child.on('error', error => failed(error.message));
      child.on('exit', code => failed(`the mesh ended with ${code}`));
      for (const stream of [child.stdout, child.stderr]) {
        let rest = '';
        stream.setEncoding('utf8').on('data', (text: string) => {
          const lines = (rest + text).split('\n');
          rest = lines.pop() ?? '';
          log.push(...lines);
          for (const line of lines) {
            const url = /^ready (http:\/\/\S+)/.exec(line)?.[1];
            if (url === undefined) continue;
            clearTimeout(timer);
            resolve(new Mesh(url.replace(/\/$/, ''), child, log));
          }
        });
      }
    });
  }

  /** Ends it as Ctrl-C does. What went wrong inside of it fails the test. */
  async close(): Promise<void> {
    const ended = new Promise<number | null>(resolve => this.process.once('exit', resolve));
    const timer = setTimeout(() => this.process.kill('SIGKILL'), STOP_TIMEOUT_MS);
    this.process.kill('SIGINT');
    const code = await ended;
    clearTimeout(timer);
    const bad = this.log.filter(line => /\bERROR\b|panicked at/.test(line));
    if (bad.length) throw new Error(`the mesh logged errors:\n${bad.slice(0, 10).join('\n')}`);
    if (code !== 0) throw new Error(`the mesh ended with ${code}\n${this.log.slice(-20).join('\n')}`);
  }

  /** Runs `lyceum load` against this mesh and gives back what came of it. */
  async load(...args: string[]): Promise<LoadOutcome> {
    const text = await run(binary(), ['load', '--url', this.url, '--media', MEDIA, '--json', ...args]);
    if (!text.out.startsWith('{')) throw new Error(`lyceum load said no outcome:\n${text.error}`);
    return JSON.parse(text.out) as LoadOutcome;
  }

  /** Joins with the native SDK's example, playing what the bots play; gives back what it printed. */
  async native(...args: string[]): Promise<string> {
    const media = ['--camera', `${MEDIA}/camera-320x180.ivf`, '--microphone', `${MEDIA}/voice.ogg`];
    const example = join(dirname(binary()), 'examples', 'room');
    const text = await run(example, ['--url', this.url, ...media, ...args]);
    return text.out;
  }

  async token(room: string): Promise<string> {
    const response = await fetch(`${this.url}/v1/tokens`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ room, name: 'Somebody' }),
    });
    return ((await response.json()) as { token: string }).token;
  }
}

async function run(program: string, args: string[]): Promise<{ out: string; error: string }> {
  const child = spawn(program, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
  const text = { out: '', error: '' };
  child.stdout.setEncoding('utf8').on('data', (part: string) => (text.out += part));
  child.stderr.setEncoding('utf8').on('data', (part: string) => (text.error += part));
  await new Promise((resolve, reject) => child.once('close', resolve).once('error', reject));
  return text;
}

/** `LYCEUM_BIN`, or what was built last in the usual places. */
function binary(): string {
  const target = process.env.CARGO_TARGET_DIR ?? `${ROOT}/target`;
  const places = [process.env.LYCEUM_BIN, `${target}/release/lyceum`, `${target}/debug/lyceum`];
  const found = places.find(
    (place): place is string => place !== undefined && place !== '' && existsSync(place),
  );
  if (found === undefined)
    throw new Error('no lyceum binary: build it with `cargo build -p lyceum` or set LYCEUM_BIN');
  return found;
}
