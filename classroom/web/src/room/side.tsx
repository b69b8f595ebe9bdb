import type { ReactNode } from 'react';
import { Icon } from '../parts/icons';
import { texts } from '../texts';

/** A panel beside the pictures; on a phone, over them. */
export function Side({
  heading,
  onClose,
  children,
}: {
  heading: string;
  onClose: () => void;
  children: ReactNode;
}) {
  return (
    <aside className="side" aria-label={heading}>
      <header className="side-head">
        <h2>{heading}</h2>
        <button type="button" className="quiet round" aria-label={texts.controls.close} onClick={onClose}>
          <Icon name="close" size={20} />
        </button>
      </header>
      {children}
    </aside>
  );
}
