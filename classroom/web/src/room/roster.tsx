import type { Participant, Room } from '@lyceum/client';
import { useRoom } from '../hooks';
import { Icon } from '../parts/icons';
import { texts } from '../texts';
import { Side } from './side';

const EVENTS = ['roster', 'speakers', 'me'] as const;

export function Roster({ room, onClose }: { room: Room; onClose: () => void }) {
  useRoom(room, EVENTS);
  const people = [...room.people].sort(
    (a, b) => rank(room, a) - rank(room, b) || a.name.localeCompare(b.name),
  );
  return (
    <Side heading={texts.roster.heading} onClose={onClose}>
      <p className="side-note">{texts.room.total(room.total)}</p>
      <ul className="roster" tabIndex={0} aria-label={texts.roster.heading}>
        {people.map(person => (
          <li key={person.id} className={room.speakers.includes(person.id) ? 'speaking' : ''}>
            <span className="roster-name">
              {person.id === room.me?.id ? texts.room.youName(person.name) : person.name}
              <small>{texts.roster.on(person.edge, person.region)}</small>
            </span>
            <span className="roster-tracks">
              {person.publishes
                .filter(track => !track.muted)
                .map(({ source }) => (
                  <span key={source} title={texts.roster.publishes[source]}>
                    <Icon
                      name={
                        source === 'camera' ? 'camera' : source === 'microphone' ? 'microphone' : 'screen'
                      }
                      size={17}
                    />
                    <span className="unseen">{texts.roster.publishes[source]}</span>
                  </span>
                ))}
            </span>
          </li>
        ))}
      </ul>
    </Side>
  );
}

/** Oneself first, then who shows or says something, then the rest. */
function rank(room: Room, person: Participant): number {
  if (person.id === room.me?.id) return 0;
  return person.publishes.some(track => !track.muted) ? 1 : 2;
}
