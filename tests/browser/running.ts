/** One process of the command, from its `ready` line to its end. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 10_000;

export class Running {
  private constructor(
    /** What it said it is ready at. */
    readonly url: string,
    readonly process: ChildProcess,
    readonly log: string[],
  ) {}

  /** Runs `lyceum` with these words and waits until it says that it is ready. */
  static start(args: string[], variables: Record<string, string> = {}): Promise<Running> {
    const child = spawn(binary(), args, {
      cwd: ROOT,
      env: { ...process.env, ...variables },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const log: string[] = [];
    return new Promise((resolve, reject) => {
      const failed = (why: string) => reject(new Error(`${why}\n${log.slice(-30).join('\n')}`));
      const timer = setTimeout(() => {
        child.kill('SIGKILL');
        failed(`lyceum ${args[0]} was not ready in time`);
      }, START_TIMEOUT_MS);
      child.on('error', error => failed(error.message));
      child.on('exit', code => failed(`lyceum ${args[0]} ended with ${code}`));
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
            resolve(new Running(url.replace(/\/$/, ''), child, log));
          }
        });
      }
    });
  }

  get ended(): boolean {
    return this.process.exitCode !== null || this.process.signalCode !== null;
  }

  /** Ends it as Ctrl-C does. What went wrong inside of it fails the test. */
  async close(): Promise<void> {
    if (this.ended) return;
    const ended = new Promise<number | null>(resolve => this.process.once('exit', resolve));
    const timer = setTimeout(() => this.process.kill('SIGKILL'), STOP_TIMEOUT_MS);
    this.process.kill('SIGINT');
    const code = await ended;
    clearTimeout(timer);
    const bad = this.log.filter(line => /\bERROR\b|panicked at/.test(line));
    if (bad.length) throw new Error(`lyceum logged errors:\n${bad.slice(0, 10).join('\n')}`);
    if (code !== 0) throw new Error(`lyceum ended with ${code}\n${this.log.slice(-20).join('\n')}`);
  }

  /** Ends it as a power cut does. */
  async kill(): Promise<void> {
    const ended = new Promise(resolve => this.process.once('exit', resolve));
    this.process.kill('SIGKILL');
    await ended;
  }
}

/** `LYCEUM_BIN`, or what was built last in the usual places. */
export function binary(): string {
  const target = process.env.CARGO_TARGET_DIR ?? `${ROOT}/target`;
  const places = [process.env.LYCEUM_BIN, `${target}/release/lyceum`, `${target}/debug/lyceum`];
  const found = places.find(
    (place): place is string => place !== undefined && place !== '' && existsSync(place),
  );
  if (found === undefined)
    throw new Error('no lyceum binary: build it with `cargo build -p lyceum` or set LYCEUM_BIN');
  return found;
}
