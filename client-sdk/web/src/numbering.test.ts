import { describe, expect, it } from 'vitest';
import { LyceumError } from './errors';
import { Inbox, Outbox, OUTBOX_MESSAGES_MAX } from './numbering';

describe('what goes to the edge', () => {
  it('is numbered from 1 and kept until the edge has seen it', () => {
    const outbox = new Outbox();
    outbox.push({ type: 'leave' });
    outbox.push({ type: 'mute', source: 'camera', muted: true });
    outbox.push({ type: 'view', tiles: [], listen: [] });
    outbox.acknowledged(2);
    expect(outbox.unseen().map(message => [message.seq, message.type])).toEqual([[3, 'view']]);
    expect(outbox.push({ type: 'leave' }).seq).toBe(4);
  });

  it('does not grow without end', () => {
    const outbox = new Outbox();
    for (let i = 0; i < OUTBOX_MESSAGES_MAX; i++) outbox.push({ type: 'view', tiles: [], listen: [] });
    expect(() => outbox.push({ type: 'view', tiles: [], listen: [] })).toThrow(LyceumError);
    outbox.acknowledged(1);
    expect(outbox.push({ type: 'view', tiles: [], listen: [] }).seq).toBe(OUTBOX_MESSAGES_MAX + 1);
  });
});

describe('what comes from the edge', () => {
  it.each([
    { case: 'in order', seqs: [1, 2, 3], arrivals: ['new', 'new', 'new'], seen: 3 },
    {
      case: 'told again after a resume',
      seqs: [1, 2, 1, 2, 3],
      arrivals: ['new', 'new', 'repeated', 'repeated', 'new'],
      seen: 3,
    },
    { case: 'with a hole', seqs: [1, 3, 2], arrivals: ['new', 'gap', 'new'], seen: 2 },
    { case: 'outside of the numbers', seqs: [0, 1, 0], arrivals: ['new', 'new', 'new'], seen: 1 },
  ])('is told apart: $case', ({ seqs, arrivals, seen }) => {
    const inbox = new Inbox();
    expect(seqs.map(seq => inbox.arrived(seq))).toEqual(arrivals);
    expect(inbox.seen).toBe(seen);
  });

  it('is acknowledged up to the highest number without a gap', () => {
    const inbox = new Inbox();
    [1, 2, 3].forEach(seq => inbox.arrived(seq));
    expect(inbox.unacknowledged).toBe(3);
    expect(inbox.acknowledge()).toBe(3);
    expect(inbox.unacknowledged).toBe(0);
  });
});
