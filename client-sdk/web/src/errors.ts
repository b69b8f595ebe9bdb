import type { Refusal } from './generated';

/** Why joining or staying failed, for machines. The edge's refusals, and what happens before there is an edge. */
export type Failure =
  | Refusal
  /** The control plane did not answer. */
  | 'control_unreachable'
  /** The edge did not answer, or its connection broke and did not come back. */
  | 'edge_unreachable'
  /** No edge is ready to take anybody. */
  | 'no_edge'
  /** A token is needed and none was given. */
  | 'token_needed'
  /** The room's or person's name is not acceptable. */
  | 'bad_name'
  /** The edge ended the session. */
  | 'ended'
  /** This browser cannot encrypt end to end. */
  | 'encryption_unsupported';

/** A failure with one sentence for people in `message`. */
export class LyceumError extends Error {
  override readonly name = 'LyceumError';

  constructor(
    /** For machines. */
    readonly code: Failure,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }

  /** Whether the same call may succeed a little later. */
  get passing(): boolean {
    return PASSING.has(this.code);
  }
}

const PASSING: ReadonlySet<Failure> = new Set<Failure>([
  'control_unreachable',
  'edge_unreachable',
  'no_edge',
  'session_gone',
  'media_lost',
  'internal',
  'full',
]);

/** Anything thrown, as a `LyceumError`. */
export function asLyceumError(thrown: unknown): LyceumError {
  if (thrown instanceof LyceumError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new LyceumError('internal', message, { cause: thrown });
}
