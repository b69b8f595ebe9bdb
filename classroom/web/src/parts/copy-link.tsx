import { useEffect, useState } from 'react';
import { roomLink } from '../link';
import { texts } from '../texts';
import { Icon } from './icons';

/** The word of success stays this long. */
const SAID_MS = 2_500;

interface Props {
  room: string;
  passphrase: string | null;
  className?: string;
}

export function CopyLink({ room, passphrase, className = '' }: Props) {
  const [said, setSaid] = useState<'copied' | 'failed' | null>(null);
  useEffect(() => {
    if (!said) return;
    const timer = setTimeout(() => setSaid(null), SAID_MS);
    return () => clearTimeout(timer);
  }, [said]);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(roomLink(location.href, room, passphrase));
      setSaid('copied');
    } catch {
      setSaid('failed');
    }
  };
  return (
    <>
      <button
        type="button"
        className={`quiet ${className}`}
        onClick={() => void copy()}
        title={texts.room.copyLink}
      >
        <Icon name={said === 'copied' ? 'check' : 'copy'} size={18} />
        <span>{said === 'copied' ? texts.room.copied : texts.room.copyLink}</span>
      </button>
      <span role="status" className={said === 'failed' ? 'notice' : 'unseen'}>
        {said === 'copied' && texts.room.copied}
        {said === 'failed' && texts.room.copyFailed}
      </span>
    </>
  );
}
