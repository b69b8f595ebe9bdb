/** A whole mesh on free ports: control plane, two regions, page. In one process, or in one for each. */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { binary, ROOT, Running } from './running';

/** What bots play, made by ffmpeg once. */
const MEDIA = join(tmpdir(), 'lyceum-browser-test-media');

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

/** Whatever serves the page and the control plane. */
export interface Served {
  readonly url: string;
}

export class Mesh implements Served {
  private constructor(readonly running: Running) {}

  /** `address`: one of this machine's. */
  static async start(address = '127.0.0.1'): Promise<Mesh> {
    return new Mesh(await Running.start(['mesh', '--listen', `${address}:0`]));
  }

  get url(): string {
    return this.running.url;
  }

  close(): Promise<void> {
    return this.running.close();
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

  /** An invitation; `seconds` is how long it opens doors. */
  async token(room: string, seconds?: number): Promise<{ token: string; expires_at: number }> {
    const response = await fetch(`${this.url}/v1/tokens`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ room, name: 'Somebody', ttl_seconds: seconds }),
    });
    return (await response.json()) as { token: string; expires_at: number };
  }
}

/** The roles as processes of their own, so that one of them can go. */
export class Apart implements Served {
  readonly edges = new Map<string, Running>();

  private constructor(readonly control: Running) {}

  /** `edges`: node ids by region. */
  static async start(edges: Record<string, string[]>): Promise<Apart> {
    const secret = randomUUID();
    const control = await Running.start(['control', '--listen', '127.0.0.1:0', '--open', '--page'], {
      LYCEUM_NODE_SECRET: secret,
    });
    const apart = new Apart(control);
    for (const [region, nodes] of Object.entries(edges)) {
      for (const node of nodes) {
        const args = [
          '--node',
          node,
          '--region',
          region,
          '--control',
          control.url,
          '--listen',
          '127.0.0.1:0',
        ];
        const running = await Running.start(['edge', ...args, '--shards', '1'], {
          LYCEUM_NODE_SECRET: secret,
        });
        apart.edges.set(node, running);
      }
    }
    return apart;
  }

  get url(): string {
    return this.control.url;
  }

  edge(node: string): Running {
    const edge = this.edges.get(node);
    if (!edge) throw new Error(`there is no edge ${node}`);
    return edge;
  }

  async close(): Promise<void> {
    for (const edge of this.edges.values()) await edge.close();
    await this.control.close();
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
