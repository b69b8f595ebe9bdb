/** The control plane, as a client sees it (docs/protocol/api.md). */
import { LyceumError, type Failure } from './errors';
import type {
  JoinRequest,
  Placement,
  Problem,
  Region,
  RegionInfo,
  Regions,
  TokenAnswer,
  TokenRequest,
} from './generated';

/** An answer takes at most this long, or it does not come. */
export const ANSWER_TIMEOUT_MS = 8_000;
/** Each probe is asked this often; the fastest answer counts, since the first one also opens the connection. */
export const PROBE_ROUNDS = 3;
/** All measuring together may hold up a join by this much. */
export const PROBE_TIMEOUT_MS = 1_500;
/** Edges measured in each region. */
export const PROBES_PER_REGION = 2;

/** The control plane at one address. */
export class ControlPlane {
  readonly #base: string;

  constructor(url: string) {
    this.#base = url.replace(/\/+$/, '');
  }

  /** The regions one can join in. */
  regions(): Promise<Regions> {
    return this.#ask('GET', '/v1/regions');
  }

  /** A join token, where the mesh is open or the page's own server adds the API secret. */
  token(request: TokenRequest): Promise<TokenAnswer> {
    return this.#ask('POST', '/v1/tokens', request);
  }

  /** Where to connect. */
  join(room: string, token: string, request: JoinRequest): Promise<Placement> {
    return this.#ask('POST', `/v1/rooms/${encodeURIComponent(room)}/join`, request, token);
  }

  async #ask<Answer>(method: string, path: string, body?: unknown, bearer?: string): Promise<Answer> {
    const headers: Record<string, string> = {};
    if (body !== undefined) headers['content-type'] = 'application/json';
    if (bearer !== undefined) headers.authorization = `Bearer ${bearer}`;
    let response: Response;
    try {
      response = await fetch(this.#base + path, {
        method,
        headers,
        signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    } catch (cause) {
      throw new LyceumError('control_unreachable', 'The server does not answer.', { cause });
    }
    if (response.ok) return (await response.json()) as Answer;
    throw await refusalOf(response);
  }
}

async function refusalOf(response: Response): Promise<LyceumError> {
  let problem: Partial<Problem> = {};
  try {
    problem = (await response.json()) as Partial<Problem>;
  } catch {
    // Something between us and the control plane answered; the status has to do.
  }
  const message = problem.message ?? `The server answered ${response.status}.`;
  return new LyceumError(failureOf(problem.code, response.status), message);
}

const KNOWN: ReadonlySet<string> = new Set<Failure>([
  'bad_token',
  'expired_token',
  'wrong_room',
  'not_allowed',
  'full',
  'no_edge',
  'bad_name',
  'malformed',
  'too_large',
  'too_many',
]);

/** The failure behind an error answer. */
export function failureOf(code: string | undefined, status: number): Failure {
  if (code !== undefined && KNOWN.has(code)) return code as Failure;
  if (status === 401 || code === 'closed') return 'token_needed';
  if (status === 403) return 'not_allowed';
  if (status === 400 || status === 422) return 'bad_name';
  if (status === 429) return 'too_many';
  return status >= 500 ? 'control_unreachable' : 'internal';
}

/** Measures the round trip to each region, in milliseconds. Regions that do not answer in time are left out. */
export async function measureRegions(regions: RegionInfo[]): Promise<Record<Region, number>> {
  const found: Record<Region, number> = {};
  const end = AbortSignal.timeout(PROBE_TIMEOUT_MS);
  await Promise.all(
    regions.flatMap(({ region, probes }) =>
      probes.slice(0, PROBES_PER_REGION).map(async probe => {
        for (let round = 0; round < PROBE_ROUNDS; round++) {
          const started = performance.now();
          try {
            await fetch(probe, { signal: end, cache: 'no-store', credentials: 'omit' });
          } catch {
            return;
          }
          const rtt = performance.now() - started;
          found[region] = Math.min(found[region] ?? Infinity, Math.round(rtt * 10) / 10);
        }
      }),
    ),
  );
  return found;
}

/** The address of the edge's signaling socket. */
export function signalUrl(edgeUrl: string): string {
  const url = new URL('v1/signal', edgeUrl.endsWith('/') ? edgeUrl : `${edgeUrl}/`);
  url.protocol = url.protocol === 'https:' || url.protocol === 'wss:' ? 'wss:' : 'ws:';
  return url.href;
}
