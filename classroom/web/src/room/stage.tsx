import { type Participant, type Room, type RoomStats, type Source, trackKey } from '@lyceum/client';
import { useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { useLocalMedia, useRoom, useSettings, useSize } from '../hooks';
import type { LocalMedia } from '../local-media';
import { CopyLink } from '../parts/copy-link';
import { texts } from '../texts';
import { bestGrid, capacity, GAP } from './layout';
import { pageOf } from './pages';
import { Pager, useSwipe } from './pager';
import { Tile } from './tile';
import { useShortcuts } from './use-shortcuts';

const EVENTS = ['roster', 'tracks', 'speakers', 'paths', 'published', 'me', 'locked'] as const;
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
  passphrase: string | null;
  media: LocalMedia;
  screen: MediaStreamTrack | null;
}

/** All pictures: a grid, or one large with a strip beside it when somebody shares a screen or is pinned. */
export function Stage({ room, passphrase, media, screen }: Props) {
  useRoom(room, EVENTS);
  const { camera, microphone } = useLocalMedia(media);
  const [pinned, setPinned] = useState<string | null>(null);
  const [setGrid, gridBox] = useSize();
  const seated = useRef<string[]>([]);
  const [wished, setPage] = useState(0);
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
  // The audience is counted, not shown: whoever may show nothing needs no tile.
  const onStage = useMemo(() => room.people.filter(person => person.on_stage), [room.people]);
  const others = onStage.filter(
    person => person.id !== me && !(large?.source === 'camera' && large.person.id === person.id),
  );
  const pages = pageOf(
    others.map(person => ({ id: person.id, hasPicture: picture(person) })),
    room.speakers,
    places,
    wished,
    seated.current,
  );
  const { page, count } = pages;
  useEffect(() => {
    seated.current = pages.seated;
  });
  const turn = useCallback(
    (by: number) => setPage(Math.max(0, Math.min(count - 1, page + by))),
    [count, page],
  );
  const next = () => turn(1);
  const previous = () => turn(-1);
  useShortcuts({ PageDown: next, ArrowRight: next, PageUp: previous, ArrowLeft: previous });
  const swipe = useSwipe(turn);

  const own = onStage.find(person => person.id === me);
  const byId = new Map(others.map(person => [person.id, person]));
  const small = [
    ...pages.ids.flatMap(id => {
      const person = byId.get(id);
      return person ? [show(person, 'camera')] : [];
    }),
    ...(page === 0 && own && !(large?.source === 'camera' && large.person.id === me)
      ? [show(own, 'camera')]
      : []),
  ];
  const audience = room.people.length - onStage.length;
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
        locked={isOwn ? null : room.locked({ participant: person.id, source })}
        paused={!isOwn && room.paused({ participant: person.id, source })}
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
      <div className="stage-small" {...swipe}>
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
        <Pager page={page} count={count} onTurn={turn} />
        {audience > 0 && <p className="stage-more">{texts.room.audience(audience)}</p>}
      </div>
      {me !== undefined && others.length === 0 && !large && (
        <div className="alone">
          <p>
            <strong>{texts.room.alone}</strong> {texts.room.aloneHint}
          </p>
          <CopyLink room={room.room} passphrase={passphrase} />
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
