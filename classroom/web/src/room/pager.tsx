import { type PointerEvent, useRef } from 'react';
import { Icon } from '../parts/icons';
import { texts } from '../texts';

/** A finger has to travel this far across, in CSS pixels, to turn a page: more than it takes to press a button. */
const SWIPE_MIN = 60;

/** Turns the pages of pictures, and says which one is shown. */
export function Pager({
  page,
  count,
  onTurn,
}: {
  page: number;
  count: number;
  onTurn: (by: number) => void;
}) {
  const { pager: words } = texts;
  if (count < 2) return null;
  return (
    <nav className="pager" aria-label={words.label}>
      <button
        type="button"
        className="quiet round"
        aria-label={words.previous}
        aria-keyshortcuts="PageUp"
        title={words.previous}
        disabled={page === 0}
        onClick={() => onTurn(-1)}
      >
        <Icon name="previous" size={20} />
      </button>
      <p role="status">{words.page(page + 1, count)}</p>
      <button
        type="button"
        className="quiet round"
        aria-label={words.next}
        aria-keyshortcuts="PageDown"
        title={words.next}
        disabled={page === count - 1}
        onClick={() => onTurn(1)}
      >
        <Icon name="next" size={20} />
      </button>
    </nav>
  );
}

/** Pages turn under a finger that goes across. */
export function useSwipe(onTurn: (by: number) => void) {
  const from = useRef<{ x: number; y: number } | null>(null);
  return {
    onPointerDown: (event: PointerEvent) => {
      from.current = event.pointerType === 'touch' ? { x: event.clientX, y: event.clientY } : null;
    },
    onPointerUp: (event: PointerEvent) => {
      const start = from.current;
      from.current = null;
      if (!start) return;
      const across = event.clientX - start.x;
      if (Math.abs(across) < SWIPE_MIN || Math.abs(across) < 2 * Math.abs(event.clientY - start.y)) return;
      onTurn(across < 0 ? 1 : -1);
    },
    onPointerCancel: () => {
      from.current = null;
    },
  };
}
