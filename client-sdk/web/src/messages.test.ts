import { describe, expect, it } from 'vitest';
import type { RoomMessage } from './generated';
import { MessageLog, MESSAGES_MAX } from './messages';

const message = (number: number, id: string, from = 'ben'): RoomMessage => ({
  number,
  id,
  from,
  name: from,
  kind: 'chat',
  body: { text: id },
  sent_at_ms: 0,
});

describe('the log', () => {
  it('keeps the room’s order and each message once', () => {
    const log = new MessageLog();
    expect([message(1, 'a'), message(2, 'b'), message(1, 'a')].map(each => log.arrived(each))).toEqual([
      true,
      true,
      false,
    ]);
    expect(log.posted.map(each => each.id)).toEqual(['a', 'b']);
  });

  it('does not mistake two people’s equal ids for one message', () => {
    const log = new MessageLog();
    expect(log.arrived(message(1, '1', 'ana'))).toBe(true);
    expect(log.arrived(message(2, '1', 'ben'))).toBe(true);
  });

  it('takes a room that begins again at 1 for what it is', () => {
    const log = new MessageLog();
    log.arrived(message(1, 'old'));
    expect(log.arrived(message(1, 'new'))).toBe(true);
  });

  it('holds own messages until the room has posted them', () => {
    const log = new MessageLog();
    log.send('x-1', 'chat', {});
    log.send('x-2', 'chat', {});
    log.arrived(message(7, 'x-1', 'me'));
    expect(log.pending.map(each => each.id)).toEqual(['x-2']);
    expect(log.isMine(message(7, 'x-1', 'me'))).toBe(true);
  });

  it('shows an own message once although it was posted by two sessions', () => {
    const log = new MessageLog();
    log.send('x-1', 'chat', {});
    expect(log.arrived(message(7, 'x-1', 'me'))).toBe(true);
    expect(log.arrived(message(9, 'x-1', 'me-again'))).toBe(false);
  });

  it('says what a new session has to say again: not what was refused', () => {
    const log = new MessageLog();
    log.send('x-1', 'chat', {});
    log.send('x-2', 'chat', {});
    log.refused('x-1', 'Too long.');
    expect(log.unposted().map(each => each.id)).toEqual(['x-2']);
    expect(log.pending[0]?.refused).toBe('Too long.');
  });

  it('forgets the oldest', () => {
    const log = new MessageLog();
    for (let i = 1; i <= MESSAGES_MAX + 5; i++) log.arrived(message(i, `m${i}`));
    expect(log.posted).toHaveLength(MESSAGES_MAX);
    expect(log.posted[0]?.number).toBe(6);
  });
});
