/**
 * A network of one's own on this machine, which can be made as bad as real ones are, and changed while it runs.
 *
 *   [ mesh ] 198.18.N.1 ── veth ──┤ hub ├── veth ── 198.18.N.6  [ place "ana": a browser ]
 *    this machine                 │     ├── veth ── 198.18.N.10 [ place "ben": a browser ]
 *
 * The hub and every place are network namespaces. The hub forwards; it is there that packets are lost or blocked, without
 * the sender's noticing. Rates are kept at both ends of a place's line, behind a short queue, as a modem does.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestOptions } from 'vitest';

/** A queue before a narrow line holds this much of it: what home routers keep. */
const QUEUE_MS = 200;
/** … and never less than this, or nothing gets through. */
const QUEUE_BYTES_MIN = 6_000;
/** Places of one network: their addresses share the last byte, four to each. */
const PLACES_MAX = 60;
/** The block for tests between networks (RFC 2544) is nobody's. */
const BLOCK = '198.18';
/** Our namespaces, by the process that made them. */
const NAME = /^lyt([0-9a-z]+)-/;

/** What a line does to what travels over it. What is not said is as good as the machine. */
export interface Weather {
  /** UDP packets lost on the way to the mesh, in thousandths. */
  lossUp?: number;
  /** UDP packets lost on the way from the mesh, in thousandths. */
  lossDown?: number;
  /** To the mesh, in kbit/s. */
  rateUp?: number;
  /** From the mesh, in kbit/s. */
  rateDown?: number;
  /** What does not get through at all: matches in nftables' words, such as `udp sport 50000`. */
  blocked?: string[];
}

/** Why there can be no such network here. */
export function networkMissing(): string | undefined {
  if (process.platform !== 'linux') return 'network namespaces are Linux’s';
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  const name = `lyt${process.pid.toString(36)}-try`;
  try {
    run('ip', 'netns', 'add', name);
    run('ip', '-n', name, 'link', 'add', 'a0', 'type', 'veth', 'peer', 'name', 'b0');
    run('ip', '-n', name, 'link', 'set', 'a0', 'up');
    run('tc', '-n', name, 'qdisc', 'add', 'dev', 'a0', 'root', 'handle', '1:', 'htb', 'default', '1');
    const rules =
      'table ip t { chain c { type filter hook forward priority 0; numgen random mod 1000 < 5 drop; }; }';
    run('ip', 'netns', 'exec', name, 'nft', rules);
    return undefined;
  } catch (error) {
    return `this machine cannot do it: ${error instanceof Error ? error.message : String(error)}`;
  } finally {
    quietly('ip', 'netns', 'del', name);
  }
}

/** Tests on such a network. Where there can be none they are skipped, and loudly; `LYCEUM_NETWORK=required` fails instead. */
export function describeOnNetwork(title: string, options: TestOptions, tests: () => void): void {
  const why = networkMissing();
  if (why === undefined) {
    describe(title, options, tests);
    return;
  }
  if (process.env.LYCEUM_NETWORK === 'required') throw new Error(`“${title}” cannot be tested: ${why}`);
  process.stderr.write(`\n*** NOT TESTED: “${title}”, because ${why}\n\n`);
  describe.skip(`NOT TESTED (${why}): ${title}`, tests);
}

export class Network {
  readonly #prefix = `lyt${process.pid.toString(36)}-`;
  readonly #hub = `${this.#prefix}hub`;
  readonly #cable = `lyt${process.pid.toString(36)}m`;
  readonly #folder = mkdtempSync(join(tmpdir(), 'lyceum-network-'));
  readonly #places: Place[] = [];
  readonly #leaving = () => this.close();
  #net = '';

  private constructor() {
    process.on('exit', this.#leaving);
  }

  static open(): Network {
    sweep();
    const network = new Network();
    try {
      network.#build();
      return network;
    } catch (error) {
      network.close();
      throw error;
    }
  }

  /** The mesh's address: reached from every place. */
  get address(): string {
    return `${this.#net}.1`;
  }

  /** Somewhere with a line to the hub. */
  place(name: string): Place {
    const index = this.#places.length + 1;
    if (index > PLACES_MAX) throw new Error('this network is full');
    const namespace = this.#prefix + name;
    const port = `to${index}`;
    const [hubEnd, ownEnd] = [`${this.#net}.${4 * index + 1}`, `${this.#net}.${4 * index + 2}`];
    run('ip', 'netns', 'add', namespace);
    run(
      'ip',
      '-n',
      this.#hub,
      'link',
      'add',
      port,
      'type',
      'veth',
      'peer',
      'name',
      'line',
      'netns',
      namespace,
    );
    up(this.#hub, port, `${hubEnd}/30`);
    up(namespace, 'line', `${ownEnd}/30`);
    run('ip', '-n', namespace, 'link', 'set', 'lo', 'up');
    run('ip', '-n', namespace, 'route', 'add', 'default', 'via', hubEnd);
    const program = join(this.#folder, `chromium-${name}`);
    const chromium = process.env.CHROMIUM_BIN ?? '/usr/bin/chromium';
    writeFileSync(program, `#!/bin/sh\nexec ip netns exec ${namespace} ${chromium} "$@"\n`);
    chmodSync(program, 0o755);
    const place = new Place(this.#hub, namespace, port, ownEnd, program);
    this.#places.push(place);
    return place;
  }

  /** Nothing of it is left. */
  close(): void {
    process.off('exit', this.#leaving);
    for (const { namespace } of this.#places.splice(0)) quietly('ip', 'netns', 'del', namespace);
    // The cable goes by itself, but later; the next network may want its name now.
    quietly('ip', 'link', 'del', this.#cable);
    quietly('ip', 'netns', 'del', this.#hub);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #build(): void {
    const hub = this.#hub;
    run('ip', 'netns', 'add', hub);
    run('ip', 'link', 'add', this.#cable, 'type', 'veth', 'peer', 'name', 'mesh', 'netns', hub);
    run('ip', '-n', hub, 'link', 'set', 'lo', 'up');
    up(null, this.#cable);
    up(hub, 'mesh');
    this.#net = this.#claim();
    run('ip', 'address', 'add', `${this.#net}.1/30`, 'dev', this.#cable);
    run('ip', '-n', hub, 'address', 'add', `${this.#net}.2/30`, 'dev', 'mesh');
    run('ip', '-n', hub, 'route', 'add', 'default', 'via', `${this.#net}.1`);
    run('ip', 'netns', 'exec', hub, 'sysctl', '-qw', 'net.ipv4.ip_forward=1');
    run(
      'ip',
      'netns',
      'exec',
      hub,
      'nft',
      'table inet weather { chain forward { type filter hook forward priority 0; }; }',
    );
  }

  /** A net nobody else on this machine has: whoever adds the route first has it. */
  #claim(): string {
    for (let i = 0; i < 256; i++) {
      const net = `${BLOCK}.${(process.pid + i) % 256}`;
      if (quietly('ip', 'route', 'add', `${net}.0/24`, 'dev', this.#cable)) {
        run('ip', 'route', 'change', `${net}.0/24`, 'dev', this.#cable, 'via', `${net}.2`, 'onlink');
        return net;
      }
    }
    throw new Error(`all of ${BLOCK}.0.0/16 is taken`);
  }
}

/** Somewhere people sit. */
export class Place {
  constructor(
    readonly hub: string,
    readonly namespace: string,
    /** The hub's end of the line. */
    readonly port: string,
    readonly address: string,
    /** Starts Chromium here. */
    readonly program: string,
  ) {
    for (const direction of ['up', 'down']) this.#nft(`add counter inet weather ${this.#counter(direction)}`);
    this.#nft(`add chain inet weather ${port}`);
    this.#nft(`add rule inet weather forward jump ${port}`);
  }

  /** The weather from now on, instead of what it was. */
  weather({ lossUp = 0, lossDown = 0, rateUp, rateDown, blocked = [] }: Weather): void {
    const [from, to] = [`iifname ${this.port}`, `oifname ${this.port}`];
    const [up, down] = [
      `counter name ${this.#counter('up')} drop`,
      `counter name ${this.#counter('down')} drop`,
    ];
    const chance = (perMille: number) => `meta l4proto udp numgen random mod 1000 < ${perMille}`;
    const rules = [
      ...blocked.flatMap(match => [`${from} ${match} ${up}`, `${to} ${match} ${down}`]),
      ...(lossUp ? [`${from} ${chance(lossUp)} ${up}`] : []),
      ...(lossDown ? [`${to} ${chance(lossDown)} ${down}`] : []),
    ];
    // One transaction: there is no moment without rules.
    const chain = `inet weather ${this.port}`;
    this.#nft(`flush chain ${chain}; ${rules.map(rule => `add rule ${chain} ${rule}`).join('; ')}`);
    shape(this.namespace, 'line', rateUp);
    shape(this.hub, this.port, rateDown);
  }

  /** Packets lost or blocked so far, on the way to the mesh or from it. */
  lost(direction: 'up' | 'down'): number {
    const said = this.#nft(`list counter inet weather ${this.#counter(direction)}`);
    return Number(/packets (\d+)/.exec(said)?.[1]);
  }

  #counter(direction: string): string {
    return `${this.port}-${direction}`;
  }

  #nft(commands: string): string {
    return run('ip', 'netns', 'exec', this.hub, 'nft', commands);
  }
}

/** Narrows what leaves by a device, or no longer does. */
function shape(namespace: string, device: string, kbit: number | undefined): void {
  const tc = (...args: string[]) => run('tc', '-n', namespace, ...args);
  if (kbit === undefined) {
    quietly('tc', '-n', namespace, 'qdisc', 'del', 'dev', device, 'root');
    return;
  }
  const on = ['dev', device];
  if (!tc('qdisc', 'show', ...on).includes('htb'))
    tc('qdisc', 'add', ...on, 'root', 'handle', '1:', 'htb', 'default', '1');
  const rate = ['htb', 'rate', `${kbit}kbit`, 'burst', '3000', 'quantum', '1514'];
  tc('class', 'replace', ...on, 'parent', '1:', 'classid', '1:1', ...rate);
  const queue = Math.max(QUEUE_BYTES_MIN, Math.round((kbit * QUEUE_MS) / 8));
  tc('qdisc', 'replace', ...on, 'parent', '1:1', 'handle', '10:', 'bfifo', 'limit', String(queue));
}

/** Switches a device on. It is given single packets: a burst sent as one would be lost as one. */
function up(namespace: string | null, device: string, address?: string): void {
  const ip = (...args: string[]) => run('ip', ...(namespace === null ? [] : ['-n', namespace]), ...args);
  if (address !== undefined) ip('address', 'add', address, 'dev', device);
  ip('link', 'set', device, 'gso_max_segs', '1', 'up');
}

/** Takes away what a run left behind that was killed. */
function sweep(): void {
  for (const [name = ''] of run('ip', 'netns', 'list').matchAll(/^lyt\S+/gm)) {
    const maker = parseInt(NAME.exec(name)?.[1] ?? '', 36);
    if (Number.isNaN(maker) || alive(maker)) continue;
    quietly('ip', 'netns', 'del', name);
  }
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Whether it went well. */
function quietly(program: string, ...args: string[]): boolean {
  try {
    run(program, ...args);
    return true;
  } catch {
    return false;
  }
}

function run(program: string, ...args: string[]): string {
  // Where Debian keeps them, whatever the caller's path is.
  const env = { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` };
  try {
    return execFileSync(program, args, { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    const { stderr = '' } = error as { stderr?: string };
    throw new Error(`${program} ${args.join(' ')}: ${stderr.trim() || String(error)}`, { cause: error });
  }
}
