import { canShareScreen, type Room } from '@lyceum/client';
import type { ReactNode } from 'react';
import { useLocalMedia, useRoom } from '../hooks';
import type { LocalMedia } from '../local-media';
import { Icon, type IconName } from '../parts/icons';
import { texts } from '../texts';

export type Panel = 'chat' | 'people';

interface Props {
  room: Room;
  media: LocalMedia;
  sharing: boolean;
  onShare: () => void;
  panel: Panel | null;
  onPanel: (panel: Panel) => void;
  unread: number;
  onSettings: () => void;
  onHelp: () => void;
  onLeave: () => void;
}

const ME = ['me', 'roster'] as const;

export function Controls(props: Props) {
  const { room, media, sharing, panel, unread } = props;
  useRoom(room, ME);
  const { camera, microphone } = useLocalMedia(media);
  const { controls: words } = texts;
  const may = room.me?.grants.publish ?? [];
  return (
    <div className="controls" role="toolbar" aria-label={words.label}>
      <div className="controls-group">
        <Control
          icon={microphone.on ? 'microphone' : 'microphoneOff'}
          label={microphone.on ? words.mute : words.unmute}
          shortcut="M"
          off={!microphone.on}
          disabled={!may.includes('microphone')}
          onClick={() => void media.toggle('microphone')}
        />
        <Control
          icon={camera.on ? 'camera' : 'cameraOff'}
          label={camera.on ? words.cameraOff : words.cameraOn}
          shortcut="V"
          off={!camera.on}
          disabled={!may.includes('camera')}
          onClick={() => void media.toggle('camera')}
        />
        {canShareScreen() && (
          <Control
            icon={sharing ? 'screenOff' : 'screen'}
            label={sharing ? words.unshare : words.share}
            shortcut="S"
            active={sharing}
            disabled={!may.includes('screen')}
            onClick={props.onShare}
          />
        )}
      </div>
      <div className="controls-group">
        <Control
          icon="chat"
          label={words.chat}
          shortcut="C"
          expanded={panel === 'chat'}
          onClick={() => props.onPanel('chat')}
        >
          {unread > 0 && (
            <span className="badge">
              {unread > 99 ? '99+' : unread}
              <span className="unseen"> {words.unread(unread)}</span>
            </span>
          )}
        </Control>
        <Control
          icon="people"
          label={words.people}
          shortcut="P"
          expanded={panel === 'people'}
          onClick={() => props.onPanel('people')}
        >
          {room.total > 0 && (
            <span className="count" aria-hidden="true">
              {room.total}
            </span>
          )}
        </Control>
        <Control icon="settings" label={words.settings} onClick={props.onSettings} />
        <Control icon="help" label={words.help} shortcut="?" wideOnly onClick={props.onHelp} />
      </div>
      <button type="button" className="leave" onClick={props.onLeave}>
        <Icon name="leave" />
        <span>{words.leave}</span>
      </button>
    </div>
  );
}

function Control(props: {
  icon: IconName;
  label: string;
  shortcut?: string;
  off?: boolean;
  active?: boolean;
  expanded?: boolean;
  disabled?: boolean;
  wideOnly?: boolean;
  onClick: () => void;
  children?: ReactNode;
}) {
  const classes = ['control', props.off && 'off', props.active && 'active', props.wideOnly && 'wide-only'];
  return (
    <button
      type="button"
      className={classes.filter(Boolean).join(' ')}
      aria-expanded={props.expanded}
      aria-keyshortcuts={props.shortcut}
      title={props.shortcut ? `${props.label} (${props.shortcut})` : props.label}
      disabled={props.disabled}
      onClick={props.onClick}
    >
      <Icon name={props.icon} />
      <span className="control-label">{props.label}</span>
      {props.children}
    </button>
  );
}
