import type { Room } from '@lyceum/client';
import { useEffect, useState } from 'react';
import { useLocalMedia, useRoom } from '../hooks';
import type { LocalMedia } from '../local-media';
import { CopyLink } from '../parts/copy-link';
import { Icon, Logo } from '../parts/icons';
import { ThemeToggle } from '../parts/theme-toggle';
import { deviceProblems } from '../problems';
import { changeSettings, settings } from '../settings';
import { texts } from '../texts';
import { Announcer } from './announcer';
import { Chat } from './chat';
import { ConnectionWords } from './connection-words';
import { Controls, type Panel } from './controls';
import { HelpDialog, SettingsDialog } from './dialogs';
import { Roster } from './roster';
import { Stage } from './stage';
import { StageWords } from './stage-words';
import { usePublishing, useSharing } from './use-publishing';
import { useShortcuts } from './use-shortcuts';

const EVENTS = ['me', 'audioBlocked'] as const;

interface Props {
  room: Room;
  passphrase: string | null;
  media: LocalMedia;
  onLeave: () => void;
}

export function Classroom({ room, passphrase, media, onLeave }: Props) {
  useRoom(room, EVENTS);
  usePublishing(room, media);
  const sharing = useSharing(room);
  const [panel, setPanel] = useState<Panel | null>(null);
  const [dialog, setDialog] = useState<'help' | 'settings' | null>(null);
  const unread = useUnread(room, panel === 'chat');
  const state = useLocalMedia(media);
  const togglePanel = (which: Panel) => setPanel(before => (before === which ? null : which));

  useEffect(() => {
    if (settings().speaker !== '') void room.setSpeaker(settings().speaker);
  }, [room]);

  useShortcuts({
    m: () => void media.toggle('microphone'),
    v: () => void media.toggle('camera'),
    s: sharing.toggle,
    c: () => togglePanel('chat'),
    p: () => togglePanel('people'),
    d: () => changeSettings({ details: !settings().details }),
    '?': () => setDialog('help'),
    Escape: () => setPanel(null),
  });

  const problems = [...deviceProblems(state), ...(sharing.problem === null ? [] : [sharing.problem])];

  return (
    <div className={panel ? 'room with-side' : 'room'}>
      <header className="room-head">
        <Logo size={26} />
        <h1>{room.room}</h1>
        {room.encryption && (
          <span className="room-lock" title={texts.room.lockedHint}>
            <Icon name="lock" size={17} />
            <span>{texts.room.locked}</span>
          </span>
        )}
        <CopyLink room={room.room} passphrase={passphrase} className="small" />
        <span className="room-edge" title={room.me?.reason}>
          {room.me && texts.room.you_are_on(room.me.edge, room.me.region)}
        </span>
        <ThemeToggle />
      </header>
      <main className="room-main">
        <ConnectionWords room={room} onLeave={onLeave} />
        <StageWords room={room} media={media} />
        {problems.length > 0 && (
          <div className="banner-place" role="status">
            {problems.map(problem => (
              <p key={problem} className="banner device">
                {problem}
              </p>
            ))}
          </div>
        )}
        {room.audioBlocked && (
          <div className="banner-place">
            <button type="button" className="primary" onClick={() => void room.startAudio()}>
              {texts.room.startSound}
            </button>
          </div>
        )}
        <Stage room={room} passphrase={passphrase} media={media} screen={sharing.track} />
      </main>
      {panel === 'chat' && <Chat room={room} onClose={() => setPanel(null)} />}
      {panel === 'people' && <Roster room={room} onClose={() => setPanel(null)} />}
      <footer className="room-foot">
        <Controls
          room={room}
          media={media}
          sharing={sharing.track !== null}
          onShare={sharing.toggle}
          panel={panel}
          onPanel={togglePanel}
          unread={unread}
          onSettings={() => setDialog('settings')}
          onHelp={() => setDialog('help')}
          onLeave={onLeave}
        />
      </footer>
      <Announcer room={room} chatOpen={panel === 'chat'} />
      {dialog === 'help' && <HelpDialog onClose={() => setDialog(null)} />}
      {dialog === 'settings' && <SettingsDialog room={room} media={media} onClose={() => setDialog(null)} />}
    </div>
  );
}

/** Chat messages of others since the chat was last open. */
function useUnread(room: Room, open: boolean): number {
  const [unread, setUnread] = useState(0);
  useEffect(() => {
    if (open) {
      setUnread(0);
      return;
    }
    return room.on('message', message => {
      if (message.kind === 'chat' && !room.log.isMine(message)) setUnread(before => before + 1);
    });
  }, [room, open]);
  return unread;
}
