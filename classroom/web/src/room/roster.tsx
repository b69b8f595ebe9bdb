import { type GrantChange, LyceumError, type Participant, type Room } from '@lyceum/client';
import { memo, useDeferredValue, useEffect, useId, useMemo, useRef, useState } from 'react';
import { useRoom, useSize } from '../hooks';
import { Icon, type IconName } from '../parts/icons';
import { texts } from '../texts';
import { inOrder, matching, rowsInSight } from './find';
import { Side } from './side';

const EVENTS = ['roster', 'speakers', 'me', 'listen'] as const;
/** Every row is as high, in CSS pixels, so that only those in sight need to be drawn. */
const ROW_HEIGHT = 58;
const STAGE: GrantChange = { publish: ['microphone', 'camera', 'screen', 'screen_audio'] };
const AUDIENCE: GrantChange = { publish: [] };

/** Everybody in the room, and what a moderator may do with them. */
export function Roster({ room, onClose }: { room: Room; onClose: () => void }) {
  useRoom(room, EVENTS);
  const [search, setSearch] = useState('');
  const [problem, setProblem] = useState<string | null>(null);
  const words = texts.roster;
  const searchId = useId();
  const sought = useDeferredValue(search);
  const { people, me } = room;
  const ordered = useMemo(() => inOrder(people, me?.id), [people, me?.id]);
  const found = useMemo(() => matching(ordered, sought), [ordered, sought]);
  const { list, rows, scroll } = useRows(found.length);

  const change = (person: Participant, to: GrantChange) => {
    setProblem(null);
    room.changeGrants(person.id, to).catch((error: unknown) => {
      setProblem(texts.errors[error instanceof LyceumError ? error.code : 'internal']);
    });
  };
  const listen = (person: Participant) => {
    const now = room.listening;
    room.listen(now.includes(person.id) ? now.filter(id => id !== person.id) : [person.id, ...now]);
  };

  return (
    <Side heading={words.heading} onClose={onClose}>
      <p className="side-note">{texts.room.total(room.total)}</p>
      <div className="field">
        <label htmlFor={searchId} className="unseen">
          {words.search}
        </label>
        <input
          id={searchId}
          type="search"
          placeholder={words.search}
          value={search}
          onChange={event => setSearch(event.target.value)}
        />
      </div>
      <p role="status" className={sought.trim() === '' ? 'unseen' : 'side-note'}>
        {sought.trim() === '' ? '' : words.found(found.length)}
      </p>
      {problem !== null && (
        <p role="alert" className="problem">
          {problem}
        </p>
      )}
      <ul
        ref={list}
        className="roster"
        tabIndex={0}
        aria-label={words.heading}
        onScroll={scroll}
        style={{ '--row': `${ROW_HEIGHT}px` } as React.CSSProperties}
      >
        <li aria-hidden="true" style={{ height: rows.first * ROW_HEIGHT }} />
        {found.slice(rows.first, rows.end).map((person, n) => (
          <Row
            key={person.id}
            person={person}
            own={person.id === me?.id}
            place={rows.first + n + 1}
            of={found.length}
            speaking={room.speakers.includes(person.id)}
            listened={room.listening.includes(person.id)}
            moderated={me?.grants.moderate === true}
            onChange={change}
            onListen={listen}
          />
        ))}
        <li aria-hidden="true" style={{ height: (found.length - rows.end) * ROW_HEIGHT }} />
      </ul>
    </Side>
  );
}

/** Which rows are in sight of a list that scrolls. */
function useRows(count: number) {
  const element = useRef<HTMLUListElement | null>(null);
  const [measure, { height }] = useSize();
  const [scrolled, setScrolled] = useState(0);
  const setElement = useRef((list: HTMLUListElement | null) => {
    element.current = list;
    measure(list);
  });
  // A shorter list may have scrolled itself.
  useEffect(() => setScrolled(element.current?.scrollTop ?? 0), [count]);
  return {
    list: setElement.current,
    rows: rowsInSight(count, ROW_HEIGHT, scrolled, height),
    scroll: (event: React.UIEvent) => setScrolled(event.currentTarget.scrollTop),
  };
}

interface RowProps {
  person: Participant;
  own: boolean;
  place: number;
  of: number;
  speaking: boolean;
  listened: boolean;
  moderated: boolean;
  onChange: (person: Participant, to: GrantChange) => void;
  onListen: (person: Participant) => void;
}

const Row = memo(
  function Row({ person, own, place, of, speaking, listened, moderated, onChange, onListen }: RowProps) {
    const { roster: words } = texts;
    const role = person.moderates ? words.moderates : person.on_stage ? null : words.audience;
    return (
      <li
        className={speaking ? 'speaking' : ''}
        aria-posinset={place}
        aria-setsize={of}
        data-person={person.id}
      >
        <span className="roster-name">
          {own ? texts.room.youName(person.name) : person.name}
          <small>{[role, words.on(person.edge, person.region)].filter(Boolean).join(' · ')}</small>
        </span>
        <span className="roster-tracks">
          {person.publishes
            .filter(track => !track.muted)
            .map(({ source }) => (
              <span key={source} title={words.publishes[source]}>
                <Icon
                  name={source === 'camera' ? 'camera' : source === 'microphone' ? 'microphone' : 'screen'}
                  size={17}
                />
                <span className="unseen">{words.publishes[source]}</span>
              </span>
            ))}
        </span>
        {!own && person.on_stage && (
          <RowButton
            icon="ear"
            label={words.listen(person.name)}
            pressed={listened}
            onClick={() => onListen(person)}
          />
        )}
        {moderated && !own && (
          <RowButton
            icon={person.on_stage ? 'toAudience' : 'toStage'}
            label={person.on_stage ? words.toAudience(person.name) : words.toStage(person.name)}
            onClick={() => onChange(person, person.on_stage ? AUDIENCE : STAGE)}
          />
        )}
      </li>
    );
  },
  // The two callbacks are made anew each time and do the same.
  (a, b) =>
    a.person === b.person &&
    a.own === b.own &&
    a.place === b.place &&
    a.of === b.of &&
    a.speaking === b.speaking &&
    a.listened === b.listened &&
    a.moderated === b.moderated,
);

function RowButton(props: { icon: IconName; label: string; pressed?: boolean; onClick: () => void }) {
  return (
    <button
      type="button"
      className="quiet round roster-button"
      aria-label={props.label}
      title={props.label}
      {...(props.pressed === undefined ? {} : { 'aria-pressed': props.pressed })}
      onClick={props.onClick}
    >
      <Icon name={props.icon} size={18} />
    </button>
  );
}
