import type { Room } from '@lyceum/client';
import { useEffect, useState } from 'react';
import { readInvitation, roomLink } from './link';
import { LocalMedia } from './local-media';
import { Classroom } from './room/classroom';
import { Start } from './start/start';
import { texts } from './texts';

/** The page has two screens. The devices are shared by both. */
export function App() {
  const [media, setMedia] = useState<LocalMedia | null>(null);
  const [room, setRoom] = useState<Room | null>(null);
  const [left, setLeft] = useState<string | null>(null);
  const [invitation] = useState(() => readInvitation(location.href));

  useEffect(() => {
    const opened = new LocalMedia();
    setMedia(opened);
    void opened.begin();
    return () => opened.end();
  }, []);

  useEffect(() => {
    document.title = room ? `${room.room} · ${texts.product}` : texts.product;
  }, [room]);

  if (!media) return null;
  if (room) {
    return (
      <Classroom
        room={room}
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
      invitation={left === null ? invitation : { ...invitation, room: left }}
      left={left}
      onJoined={(joined, role) => {
        history.replaceState(null, '', roomLink(location.href, joined.room, role) + location.hash);
        setRoom(joined);
      }}
    />
  );
}
