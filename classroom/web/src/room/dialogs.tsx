import type { Room } from '@lyceum/client';
import { type ReactNode, useEffect, useRef } from 'react';
import { useSettings } from '../hooks';
import type { LocalMedia } from '../local-media';
import { DeviceChoice, Select } from '../parts/device-choice';
import { Icon } from '../parts/icons';
import { changeSettings, type CodecChoice, type Quality, type Theme, videoOptions } from '../settings';
import { texts } from '../texts';

/** The browser's own modal dialog: it keeps the focus and gives it back. */
function Dialog({
  heading,
  onClose,
  children,
}: {
  heading: string;
  onClose: () => void;
  children: ReactNode;
}) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = ref.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return (
    <dialog
      ref={ref}
      aria-labelledby="dialog-heading"
      onClose={onClose}
      onClick={event => event.target === ref.current && onClose()}
    >
      <header className="side-head">
        <h2 id="dialog-heading">{heading}</h2>
        <button type="button" className="quiet round" aria-label={texts.controls.close} onClick={onClose}>
          <Icon name="close" size={20} />
        </button>
      </header>
      <div className="dialog-body">{children}</div>
    </dialog>
  );
}

export function HelpDialog({ onClose }: { onClose: () => void }) {
  return (
    <Dialog heading={texts.help.heading} onClose={onClose}>
      <dl className="keys">
        {texts.help.keys.map(([key, what]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <p className="hint">{texts.help.note}</p>
    </Dialog>
  );
}

export function SettingsDialog({
  room,
  media,
  onClose,
}: {
  room: Room;
  media: LocalMedia;
  onClose: () => void;
}) {
  const { theme, quality, codec, details } = useSettings();
  return (
    <Dialog heading={texts.controls.settings} onClose={onClose}>
      <DeviceChoice media={media} onSpeaker={id => void room.setSpeaker(id)} />
      <Select
        label={texts.devices.quality}
        value={quality}
        onChange={value => {
          changeSettings({ quality: value as Quality });
          void media.resize();
        }}
      >
        {Object.entries(texts.devices.qualities).map(([value, label]) => (
          <option key={value} value={value}>
            {label}
          </option>
        ))}
      </Select>
      <Select
        label={texts.devices.codec}
        value={codec}
        onChange={value => {
          changeSettings({ codec: value as CodecChoice });
          void room.setVideo(videoOptions());
        }}
      >
        {Object.entries(texts.devices.codecs).map(([value, label]) => (
          <option key={value} value={value}>
            {label}
          </option>
        ))}
      </Select>
      <Select
        label={texts.theme.label}
        value={theme}
        onChange={value => changeSettings({ theme: value as Theme })}
      >
        {Object.entries(texts.theme.choices).map(([value, label]) => (
          <option key={value} value={value}>
            {label}
          </option>
        ))}
      </Select>
      <label className="tick">
        <input
          type="checkbox"
          checked={details}
          onChange={event => changeSettings({ details: event.target.checked })}
        />
        <span>{texts.controls.details}</span>
      </label>
    </Dialog>
  );
}
