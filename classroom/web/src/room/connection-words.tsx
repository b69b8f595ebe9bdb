import type { Room } from '@lyceum/client';
import { useEffect, useRef, useState } from 'react';
import { useRoom } from '../hooks';
import { texts } from '../texts';

const EVENTS = ['state'] as const;
/** The word that all is well again stays this long. */
const BACK_MS = 3_000;

/** How the connection is, when it is not simply there. */
export function ConnectionWords({ room, onLeave }: { room: Room; onLeave: () => void }) {
  useRoom(room, EVENTS);
  const { state } = room;
  const [back, setBack] = useState(false);
  const wasAway = useRef(false);

  useEffect(() => {
    if (state.phase === 'reconnecting') wasAway.current = true;
    if (state.phase !== 'connected' || !wasAway.current) return;
    wasAway.current = false;
    setBack(true);
    const timer = setTimeout(() => setBack(false), BACK_MS);
    return () => clearTimeout(timer);
  }, [state]);

  if (state.phase === 'lost') {
    return (
      <div
        className="lost"
        role="alertdialog"
        aria-modal="true"
        aria-labelledby="lost-heading"
        aria-describedby="lost-why"
      >
        <div className="card">
          <h2 id="lost-heading">{texts.connection.lostHeading}</h2>
          <p id="lost-why">{texts.errors[state.error.code]}</p>
          <div className="buttons">
            {/* The only thing to do on the page: focus belongs here. */}
            <button type="button" className="primary" ref={focus} onClick={() => room.retry()}>
              {texts.connection.retry}
            </button>
            <button type="button" className="quiet" onClick={onLeave}>
              {texts.connection.toStart}
            </button>
          </div>
        </div>
      </div>
    );
  }
  const words =
    state.phase === 'connecting'
      ? texts.connection.connecting
      : state.phase === 'reconnecting'
        ? texts.connection.away[state.away]
        : back
          ? texts.connection.back
          : null;
  return (
    <div role="status" className="banner-place" data-phase={state.phase}>
      {words !== null && <p className={`banner ${state.phase}`}>{words}</p>}
    </div>
  );
}

function focus(element: HTMLElement | null): void {
  element?.focus();
}
