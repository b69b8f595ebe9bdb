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
    const offs = [
      room.on('roster', ({ came, left, changed }) => {
        if (room.total > ANNOUNCE_PEOPLE_MAX) return;
        const others = came.filter(person => person.id !== room.me?.id);
        // The first roster tells who has been there all along.
        if (others.length && others.length + 1 < room.people.length + left.length) {
          say(others.map(person => texts.room.joined(person.name)).join(', '));
        } else if (others.length === 1 && room.people.length === 2 && others[0]) {
          say(texts.room.joined(others[0].name));
        }
        if (left.length) say(left.map(person => texts.room.left(person.name)).join(', '));
        for (const person of changed) {
          if (person.publishes.some(track => track.source === 'screen')) say(texts.room.sharing(person.name));
        }
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

/** The text of a chat message; null when it is something else. */
export function textOf(body: unknown): string | null {
  if (typeof body !== 'object' || body === null || !('text' in body)) return null;
  return typeof body.text === 'string' ? body.text : null;
}
