import { type ReactNode, useId } from 'react';
import { useLocalMedia, useSettings } from '../hooks';
import type { LocalMedia } from '../local-media';
import { changeSettings } from '../settings';
import { texts } from '../texts';

/** Which camera, microphone and loudspeaker. */
export function DeviceChoice({
  media,
  onSpeaker,
}: {
  media: LocalMedia;
  onSpeaker?: (deviceId: string) => void;
}) {
  const { devices } = useLocalMedia(media);
  const chosen = useSettings();
  return (
    <div className="device-choice">
      <Choice
        label={texts.devices.camera}
        value={chosen.camera}
        devices={devices.cameras}
        onChange={id => void media.choose('camera', id)}
      />
      <Choice
        label={texts.devices.microphone}
        value={chosen.microphone}
        devices={devices.microphones}
        onChange={id => void media.choose('microphone', id)}
      />
      {onSpeaker && devices.speakers.length > 0 && (
        <Choice
          label={texts.devices.speaker}
          value={chosen.speaker}
          devices={devices.speakers}
          onChange={id => {
            changeSettings({ speaker: id });
            onSpeaker(id);
          }}
        />
      )}
    </div>
  );
}

function Choice(props: {
  label: string;
  value: string;
  devices: MediaDeviceInfo[];
  onChange: (deviceId: string) => void;
}) {
  const here = props.devices.some(device => device.deviceId === props.value);
  return (
    <Select label={props.label} value={here ? props.value : ''} onChange={props.onChange}>
      <option value="">{texts.devices.standard}</option>
      {props.devices
        .filter(device => device.deviceId !== 'default')
        .map((device, i) => (
          <option key={device.deviceId} value={device.deviceId}>
            {device.label || `${props.label} ${i + 1}`}
          </option>
        ))}
    </Select>
  );
}

/** A labelled select. */
export function Select(props: {
  label: string;
  value: string;
  onChange: (value: string) => void;
  children: ReactNode;
}) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{props.label}</label>
      <select id={id} value={props.value} onChange={event => props.onChange(event.target.value)}>
        {props.children}
      </select>
    </div>
  );
}
