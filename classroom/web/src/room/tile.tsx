import {
  type Locked,
  type Participant,
  type Path,
  type ReceivedStats,
  type Room,
  type Source,
  trackKey,
} from '@lyceum/client';
import { memo, useCallback, useEffect, useState } from 'react';
import { Icon } from '../parts/icons';
import { Picture } from '../parts/picture';
import { texts } from '../texts';

interface Props {
  room: Room;
  person: Participant;
  source: Extract<Source, 'camera' | 'screen'>;
  /** The received track, or the own one. */
  track: MediaStreamTrack | null;
  own: boolean;
  muted: boolean;
  hasPicture: boolean;
  /** The browser lacks this codec: there is a picture, but it cannot be shown. */
  lacks: string | null;
  speaking: boolean;
  large: boolean;
  /** Why it cannot be decrypted. */
  locked: Locked | null;
  /** The connection does not carry it now. */
  paused: boolean;
  path: Path | undefined;
  stats: ReceivedStats | undefined;
  onPin: (key: string) => void;
}

/** A letter may be several code points. */
const GRAPHEMES = new Intl.Segmenter();

/** One picture with whose it is and the way it came. */
export const Tile = memo(function Tile(props: Props) {
  const { room, person, source, track, own, muted, hasPicture, lacks, speaking, large, locked } = props;
  const { paused, path, stats, onPin } = props;
  const [element, setElement] = useState<HTMLElement | null>(null);
  const { room: words } = texts;

  // What is shown is asked for; a person without a picture needs none.
  useEffect(() => {
    if (!element || own || !hasPicture || lacks !== null) return;
    return room.show(element, { participant: person.id, source }, large);
  }, [room, element, own, hasPicture, lacks, person.id, source, large]);

  const arrived = useCallback(
    () => room.arrived({ participant: person.id, source }),
    [room, person.id, source],
  );
  const name = nameOf(person, source, own);
  const way = wayOf(room, person, path);
  const waits = hasPicture && lacks === null && !locked && paused;
  const facts = [
    speaking && words.speaking,
    muted && source === 'camera' && words.muted,
    !hasPicture && words.cameraOff,
    hasPicture && lacks !== null && words.cannotShow(lacks),
    hasPicture && locked && words.lockedOut[locked],
    waits && words.paused,
    !own && words.edge(person.edge),
    !own && way,
  ].filter(fact => typeof fact === 'string');
  const key = trackKey({ participant: person.id, source });
  const pin = large ? words.unpin(name) : words.pin(name);
  const classes = ['tile', speaking && 'speaking', source === 'screen' && 'screen', own && 'own'].filter(
    Boolean,
  );

  return (
    <article
      ref={setElement}
      className={classes.join(' ')}
      aria-label={words.tile(name, facts)}
      data-track={key}
    >
      <div
        className="avatar"
        aria-hidden="true"
        style={{ '--hue': hueOf(person.identity) } as React.CSSProperties}
      >
        <span>{initialsOf(person.name)}</span>
      </div>
      <Picture
        track={hasPicture && lacks === null && !locked ? track : null}
        mirrored={own && source === 'camera'}
        whole={source === 'screen'}
        {...(own ? {} : { arrived })}
      />
      {hasPicture && lacks !== null && <p className="tile-lacks">{words.cannotShow(lacks)}</p>}
      {hasPicture && lacks === null && locked && (
        <p className="tile-note" aria-hidden="true">
          <Icon name="lock" size={18} /> {words.lockedOut[locked]}
        </p>
      )}
      {waits && (
        <p className="tile-note" aria-hidden="true">
          <Icon name="pause" size={18} /> {words.paused}
        </p>
      )}
      <button
        type="button"
        className="pin quiet round"
        aria-label={pin}
        aria-pressed={large}
        title={pin}
        onClick={() => onPin(key)}
      >
        <Icon name="pin" size={18} />
      </button>
      {stats && <Numbers stats={stats} />}
      <div className="tile-foot" aria-hidden="true">
        <span className="tile-name">
          {muted && source === 'camera' && <Icon name="microphoneOff" size={15} />}
          <span>{name}</span>
        </span>
        <span className="tile-way">
          {!own && <span className="tile-edge">{person.edge}</span>}
          <span className="tile-path">{own ? person.edge : way}</span>
        </span>
      </div>
    </article>
  );
});

function Numbers({ stats }: { stats: ReceivedStats }) {
  const lines = [
    `${stats.width}×${stats.height}, ${Math.round(stats.framesPerSecond)} fps`,
    `${Math.round(stats.bitrate / 1000)} kbit/s`,
    `${stats.packetsLost} lost, jitter ${stats.jitterMs} ms`,
  ];
  return (
    <dl className="numbers" aria-hidden="true">
      {lines.map(line => (
        <dd key={line}>{line}</dd>
      ))}
    </dl>
  );
}

function nameOf(person: Participant, source: Source, own: boolean): string {
  if (source === 'screen') return own ? texts.room.yourScreen : texts.room.screenOf(person.name);
  return own ? texts.room.youName(person.name) : person.name;
}

/** `eu → us, 12 ms`, from the publisher's region to ours; without the time while it is not measured. */
function wayOf(room: Room, person: Participant, path: Path | undefined): string {
  if (path && path.hops.length > 1) {
    return texts.room.path(
      path.hops.map(hop => hop.region),
      path.latency_ms,
    );
  }
  const { me } = room;
  if (!me || me.edge === person.edge) return texts.room.sameEdge(person.region);
  return texts.room.path([person.region, me.region], null);
}

function initialsOf(name: string): string {
  const words = name.trim().split(/\s+/);
  const first = (word: string) => GRAPHEMES.segment(word)[Symbol.iterator]().next().value?.segment ?? '';
  const last = words.length > 1 ? words[words.length - 1] : '';
  return (first(words[0] ?? '') + first(last ?? '')).toLocaleUpperCase() || '?';
}

/** A quiet colour of one's own. */
function hueOf(identity: string): number {
  let hash = 0;
  for (const char of identity) hash = (hash * 31 + (char.codePointAt(0) ?? 0)) % 360;
  return hash;
}
