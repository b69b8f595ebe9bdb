import type { Room } from '@lyceum/client';
import { useEffect, useState } from 'react';
import { useRoom } from '../hooks';
import type { LocalMedia } from '../local-media';
import { texts } from '../texts';
import { follow } from './use-publishing';

const EVENTS = ['published', 'roster'] as const;
/** Being back in the audience is said for this long. */
const SAID_FOR_MS = 8_000;

/**
 * What somebody sees who is called to the stage, or back to the audience. Nobody is shown unasked: camera and microphone go into
 * the room by a click.
 */
export function StageWords({ room, media }: { room: Room; media: LocalMedia }) {
  useRoom(room, EVENTS);
  const [word, setWord] = useState<{ on: boolean; by: string | null } | null>(null);
  useEffect(
    () =>
      room.on('grants', ({ before, now, by }) => {
        const [was, is] = [before.publish.length > 0, now.publish.length > 0];
        if (was === is) return;
        const name = room.people.find(person => person.id === by)?.name ?? null;
        setWord({ on: is, by: name });
      }),
    [room],
  );
  useEffect(() => {
    if (!word || word.on) return;
    const timer = setTimeout(() => setWord(null), SAID_FOR_MS);
    return () => clearTimeout(timer);
  }, [word]);
  if (!word) return null;
  const { stage: words } = texts;
  const show = () => {
    const { camera, microphone } = media.state;
    void follow(room, 'microphone', microphone.track, !microphone.on || !microphone.track).then(() =>
      follow(room, 'camera', camera.track, !camera.track),
    );
    setWord(null);
  };
  return (
    <div className="banner-place">
      <div className="banner stage-word" role="status">
        <p>{word.on ? words.called(word.by) : words.back(word.by)}</p>
        {word.on && (
          <>
            <button type="button" className="primary small" onClick={show}>
              {words.show}
            </button>
            <button type="button" className="quiet small" onClick={() => setWord(null)}>
              {words.notNow}
            </button>
          </>
        )}
      </div>
    </div>
  );
}
