import { type Participant, type Room, type RoomStats, type Source, trackKey } from '@lyceum/client';
import { useEffect, useMemo, useRef, useState } from 'react';
import { useLocalMedia, useRoom, useSettings, useSize } from '../hooks';
import type { LocalMedia } from '../local-media';
import { CopyLink } from '../parts/copy-link';
import { texts } from '../texts';
import { bestGrid, capacity, GAP } from './layout';
import { seats } from './seats';
import { Tile } from './tile';

const EVENTS = ['roster', 'tracks', 'speakers', 'paths', 'published', 'me'] as const;
/** The strip beside a large picture holds this many. */
const STRIP_MAX = 6;
const STATS_EVERY_MS = 2_000;

interface Shown {
  person: Participant;
  source: Extract<Source, 'camera' | 'screen'>;
  key: string;
}

interface Props {
  room: Room;
  media: LocalMedia;
  screen: MediaStreamTrack | null;
}

/** All pictures: a grid, or one large with a strip beside it when somebody shares a screen or is pinned. */
export function Stage({ room, media, screen }: Props) {
  useRoom(room, EVENTS);
  const { camera, microphone } = useLocalMedia(media);
  const [pinned, setPinned] = useState<string | null>(null);
  const [setGrid, gridBox] = useSize();
  const seated = useRef<string[]>([]);
  const stats = useStats(room);
  const me = room.me?.id;

  const screens = useMemo(
    () => room.people.filter(person => publishes(person, 'screen')).map(person => show(person, 'screen')),
    [room.people],
  );
  // The own screen is not shown large: a picture of itself within itself.
  const large =
    [...room.people.map(person => show(person, 'camera')), ...screens].find(shown => shown.key === pinned) ??
    screens.find(shown => shown.person.id !== me) ??
    null;

  const places = large ? STRIP_MAX : capacity(gridBox);
  const others = room.people.filter(
    person => person.id !== me && !(large?.source === 'camera' && large.person.id === person.id),
  );
  const ids = seats(
    others.map(person => ({ id: person.id, hasPicture: picture(person) })),
    room.speakers,
    Math.max(0, places - 1),
    seated.current,
  );
  useEffect(() => {
    seated.current = ids;
  });

  const own = room.people.find(person => person.id === me);
  const small = [
    ...ids.flatMap(id => {
      const person = others.find(each => each.id === id);
      return person ? [show(person, 'camera')] : [];
    }),
    ...(own && !(large?.source === 'camera' && large.person.id === me) ? [show(own, 'camera')] : []),
  ];
  const hidden = others.length - ids.length;
  const grid = bestGrid(small.length, gridBox);

  const tile = ({ person, source, key }: Shown, isLarge: boolean) => {
    const isOwn = person.id === me;
    const ownTrack = source === 'screen' ? screen : camera.track;
    return (
      <Tile
        key={key}
        room={room}
        person={person}
        source={source}
        own={isOwn}
        track={isOwn ? ownTrack : (room.trackOf({ participant: person.id, source }) ?? null)}
        hasPicture={isOwn ? ownTrack !== null : source === 'screen' || picture(person)}
        lacks={isOwn ? null : lacking(room, person, source)}
        muted={isOwn ? !microphone.on || !microphone.track : isMuted(person)}
        speaking={source === 'camera' && room.speakers.includes(person.id)}
        large={isLarge}
        path={room.paths.get(person.id)}
        stats={isOwn ? undefined : stats?.received.get(trackKey({ participant: person.id, source }))}
        onPin={chosen => setPinned(before => (before === chosen ? null : chosen))}
      />
    );
  };

  return (
    <section
      className={large ? 'stage with-large' : 'stage'}
      aria-label={texts.room.stage}
      style={{ '--gap': `${GAP}px` } as React.CSSProperties}
    >
      {large && <div className="stage-large">{tile(large, true)}</div>}
      <div className="stage-small">
        <div ref={setGrid} className="stage-grid">
          <div
            className="stage-tiles"
            style={
              {
                '--columns': grid.columns,
                '--tile-width': `${grid.tile.width}px`,
                '--tile-height': `${grid.tile.height}px`,
              } as React.CSSProperties
            }
          >
            {small.map(shown => tile(shown, false))}
          </div>
        </div>
        {hidden > 0 && <p className="stage-more">{texts.room.more(hidden)}</p>}
      </div>
      {me !== undefined && others.length === 0 && !large && (
        <div className="alone">
          <p>
            <strong>{texts.room.alone}</strong> {texts.room.aloneHint}
          </p>
          <CopyLink room={room.room} />
        </div>
      )}
    </section>
  );
}

function useStats(room: Room): RoomStats | null {
  const { details } = useSettings();
  const [stats, setStats] = useState<RoomStats | null>(null);
  useEffect(() => {
    if (!details) return;
    const look = () => void room.stats().then(setStats);
    look();
    const timer = setInterval(look, STATS_EVERY_MS);
    return () => {
      clearInterval(timer);
      setStats(null);
    };
  }, [room, details]);
  return stats;
}

function show(person: Participant, source: Shown['source']): Shown {
  return { person, source, key: trackKey({ participant: person.id, source }) };
}

function publishes(person: Participant, source: Source): boolean {
  return person.publishes.some(track => track.source === source);
}

/** The codec of a picture that this browser cannot show. */
function lacking(room: Room, person: Participant, source: Source): string | null {
  if (room.canShow({ participant: person.id, source })) return null;
  return person.publishes.find(track => track.source === source)?.codec ?? null;
}

function picture(person: Participant): boolean {
  return person.publishes.some(track => track.source === 'camera' && !track.muted);
}

function isMuted(person: Participant): boolean {
  return !person.publishes.some(track => track.source === 'microphone' && !track.muted);
}
