/** From the browser's statistics to what a tile can show. */

/** One received track. */
export interface ReceivedStats {
  kind: 'audio' | 'video';
  bitrate: number;
  packetsLost: number;
  jitterMs: number;
  /** Pictures only. */
  width: number;
  height: number;
  framesPerSecond: number;
  framesDecoded: number;
  freezes: number;
}

/** One encoding sent. */
export interface SentStats {
  rid: string;
  bitrate: number;
  width: number;
  height: number;
  framesPerSecond: number;
  active: boolean;
}

/** The path packets take to the edge. */
export interface TransportStats {
  /** `relay` when TURN is in between. */
  candidateType: string;
  protocol: string;
  rttMs: number | null;
}

/** One look at everything. */
export interface Stats {
  /** By the slot's mid. */
  received: Map<string, ReceivedStats>;
  sent: SentStats[];
  transport: TransportStats | null;
}

type Row = Record<string, unknown> & { id: string; type: string; timestamp: number };

/** Remembers the last look, since bitrates are differences. */
export class StatsReader {
  readonly #bytes = new Map<string, { bytes: number; at: number }>();

  read(report: Iterable<[string, unknown]>): Stats {
    const stats: Stats = { received: new Map(), sent: [], transport: null };
    const rows = new Map<string, Row>();
    for (const [id, row] of report) rows.set(id, row as Row);
    for (const row of rows.values()) {
      if (row.type === 'inbound-rtp') {
        const mid = text(row.mid);
        if (mid !== '') stats.received.set(mid, this.#received(row));
      } else if (row.type === 'outbound-rtp') stats.sent.push(this.#sent(row));
      else if (row.type === 'transport') stats.transport = transport(row, rows);
    }
    return stats;
  }

  #received(row: Row): ReceivedStats {
    return {
      kind: row.kind === 'audio' ? 'audio' : 'video',
      bitrate: this.#bitrate(row, number(row.bytesReceived)),
      packetsLost: number(row.packetsLost),
      jitterMs: Math.round(number(row.jitter) * 1000),
      width: number(row.frameWidth),
      height: number(row.frameHeight),
      framesPerSecond: number(row.framesPerSecond),
      framesDecoded: number(row.framesDecoded),
      freezes: number(row.freezeCount),
    };
  }

  #sent(row: Row): SentStats {
    return {
      rid: text(row.rid),
      bitrate: this.#bitrate(row, number(row.bytesSent)),
      width: number(row.frameWidth),
      height: number(row.frameHeight),
      framesPerSecond: number(row.framesPerSecond),
      active: row.active !== false,
    };
  }

  #bitrate(row: Row, bytes: number): number {
    const before = this.#bytes.get(row.id);
    this.#bytes.set(row.id, { bytes, at: row.timestamp });
    if (!before || row.timestamp <= before.at) return 0;
    return Math.max(0, Math.round(((bytes - before.bytes) * 8000) / (row.timestamp - before.at)));
  }
}

function transport(row: Row, rows: Map<string, Row>): TransportStats | null {
  const pair = rows.get(text(row.selectedCandidatePairId));
  if (!pair) return null;
  const local = rows.get(text(pair.localCandidateId));
  const rtt = pair.currentRoundTripTime;
  return {
    candidateType: text(local?.candidateType),
    protocol: text(local?.relayProtocol ?? local?.protocol),
    rttMs: typeof rtt === 'number' ? Math.round(rtt * 1000) : null,
  };
}

function number(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
