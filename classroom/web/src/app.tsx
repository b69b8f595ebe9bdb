import type { Room } from '@lyceum/client';
import { useEffect, useState } from 'react';
import { ownLink, readInvitation } from './link';
import { LocalMedia } from './local-media';
import { Classroom } from './room/classroom';
import { Start } from './start/start';
import { texts } from './texts';

/** The page has two screens. The devices are shared by both. */
export function App() {
  const [media, setMedia] = useState<LocalMedia | null>(null);
  const [room, setRoom] = useState<Room | null>(null);
  const [left, setLeft] = useState<string | null>(null);
  const [invitation, setInvitation] = useState(() => readInvitation(location.href));

  useEffect(() => {
    const opened = new LocalMedia();
    setMedia(opened);
    void opened.begin();
    return () => opened.end();
  }, []);

  // Another link to the same room, put into the address bar, loads nothing: only what is behind the # changes.
  useEffect(() => {
    const changed = () => {
      const now = readInvitation(location.href);
      setInvitation(now);
      if (now.passphrase !== null) void room?.encryption?.setPassphrase(now.passphrase, room.room);
    };
    window.addEventListener('hashchange', changed);
    return () => window.removeEventListener('hashchange', changed);
  }, [room]);

  useEffect(() => {
    document.title = room ? `${room.room} · ${texts.product}` : texts.product;
  }, [room]);

  if (!media) return null;
  if (room) {
    return (
      <Classroom
        room={room}
        passphrase={invitation.passphrase}
        media={media}
        onLeave={() => {
          room.leave();
          setLeft(room.room);
          setRoom(null);
        }}
      />
    );
  }
  return (
    <Start
      media={media}
      invitation={invitation}
      left={left}
      onJoined={(joined, role, passphrase) => {
        const own = { ...invitation, room: joined.room, role, passphrase };
        history.replaceState(null, '', ownLink(location.href, own));
        setInvitation(own);
        setRoom(joined);
      }}
    />
  );
}
