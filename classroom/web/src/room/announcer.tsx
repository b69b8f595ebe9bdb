import type { Room } from '@lyceum/client';
import { useEffect, useState } from 'react';
import { texts } from '../texts';

/** With more people than this, comings and goings are not announced: in a lecture they would be all one hears. */
const ANNOUNCE_PEOPLE_MAX = 25;

/** Tells screen readers what others see happen: who came, who left, who shares, and chat while it is closed. */
export function Announcer({ room, chatOpen }: { room: Room; chatOpen: boolean }) {
  const [words, setWords] = useState('');
  useEffect(() => {
    const say = (text: string) => setWords(before => (before === text ? `${text} ` : text));
    let sharing = sharingNow(room);
    const offs = [
      room.on('roster', ({ came, left }) => {
        const before = sharing;
        sharing = sharingNow(room);
        if (room.total > ANNOUNCE_PEOPLE_MAX) return;
        const words: string[] = [];
        // The first roster tells who has been there all along.
        if (came.length < room.people.length)
          words.push(...came.map(person => texts.room.joined(person.name)));
        words.push(...left.map(person => texts.room.left(person.name)));
        for (const [id, name] of sharing) if (!before.has(id)) words.push(texts.room.sharing(name));
        for (const [id, name] of before) if (!sharing.has(id)) words.push(texts.room.sharingEnded(name));
        if (words.length) say(words.join(', '));
      }),
      room.on('message', message => {
        const text = textOf(message.body);
        if (!chatOpen && message.kind === 'chat' && text !== null && !room.log.isMine(message)) {
          say(texts.chat.said(message.name, text));
        }
      }),
    ];
    return () => offs.forEach(off => off());
  }, [room, chatOpen]);
  return (
    <div className="unseen" aria-live="polite">
      {words}
    </div>
  );
}

/** Who shares a screen: names by id, oneself left out. */
function sharingNow(room: Room): Map<string, string> {
  const others = room.people.filter(person => person.id !== room.me?.id);
  const sharers = others.filter(person => person.publishes.some(track => track.source === 'screen'));
  return new Map(sharers.map(person => [person.id, person.name]));
}

/** The text of a chat message; null when it is something else. */
export function textOf(body: unknown): string | null {
  if (typeof body !== 'object' || body === null || !('text' in body)) return null;
  return typeof body.text === 'string' ? body.text : null;
}
