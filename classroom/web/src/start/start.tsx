import {
  Encryption,
  type Grants,
  join,
  LyceumError,
  newPassphrase,
  type Published,
  type Room,
  type Source,
  toName,
} from '@lyceum/client';
import { type SubmitEvent, useId, useRef, useState } from 'react';
import { type Invitation, type Role, suggestRoom } from '../link';
import type { LocalMedia } from '../local-media';
import { CopyLink } from '../parts/copy-link';
import { Icon, Logo } from '../parts/icons';
import { ThemeToggle } from '../parts/theme-toggle';
import { changeSettings, settings, videoOptions } from '../settings';
import { texts } from '../texts';
import { Preview } from './preview';
import { useRegions } from './use-regions';

/** The control plane serves this page, so it is where the page came from. */
const CONTROL_PLANE = location.origin;

interface Props {
  media: LocalMedia;
  invitation: Invitation;
  /** The room that was just left. */
  left: string | null;
  onJoined: (room: Room, role: Role, passphrase: string | null) => void;
}

export function Start({ media, invitation, left, onJoined }: Props) {
  const [name, setName] = useState(settings().name);
  const [room, setRoom] = useState(invitation.room || suggestRoom());
  const [region, setRegion] = useState('');
  const [role, setRole] = useState<Role>(invitation.role);
  const [made, setMade] = useState<string | null>(null);
  const passphrase = invitation.passphrase ?? made;
  const [joining, setJoining] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const regions = useRegions(CONTROL_PLANE);
  const nameField = useRef<HTMLInputElement>(null);
  const roomField = useRef<HTMLInputElement>(null);
  const nameId = useId();
  const roomId = useId();
  const hintId = useId();
  const lockHintId = useId();
  const problemId = useId();
  const { start } = texts;
  const invited = invitation.room !== '' && left === null;
  // Elsewhere the token says it.
  const chooses = regions.open && invitation.token === null;

  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const roomName = toName(room);
    if (name.trim() === '') {
      setProblem(start.nameMissing);
      nameField.current?.focus();
      return;
    }
    if (roomName === '') {
      setProblem(start.roomMissing);
      roomField.current?.focus();
      return;
    }
    changeSettings({ name: name.trim() });
    setProblem(null);
    setJoining(true);
    let encryption: Encryption | null = null;
    try {
      if (passphrase !== null) {
        encryption = new Encryption();
        await encryption.setPassphrase(passphrase, roomName);
      }
      const joined = await join({
        url: CONTROL_PLANE,
        room: roomName,
        name: name.trim(),
        publish: role === 'audience' && chooses ? {} : publishNow(media),
        video: videoOptions(),
        ...(chooses ? grantsOf(role) : {}),
        ...(region === '' ? { rttMs: regions.rttMs } : { region }),
        ...(invitation.token === null ? {} : { token: invitation.token }),
        ...(encryption ? { encryption } : {}),
        ...relayOnly(),
      });
      onJoined(joined, chooses ? role : 'participant', passphrase);
    } catch (error) {
      encryption?.close();
      setProblem(error instanceof LyceumError ? texts.errors[error.code] : texts.errors.internal);
      setJoining(false);
    }
  };

  return (
    <div className="start">
      <header className="start-head">
        <Logo />
        <span className="wordmark">{texts.product}</span>
        <span className="tagline">{texts.tagline}</span>
        <ThemeToggle />
      </header>
      <main className="start-main">
        <Preview media={media} />
        <form className="card" onSubmit={event => void submit(event)} noValidate aria-describedby={problemId}>
          <h1>{invited ? start.headingInvited : start.heading}</h1>
          {left !== null && <p className="left">{start.left(left)}</p>}
          <div className="field">
            <label htmlFor={nameId}>{start.name}</label>
            <input
              id={nameId}
              ref={nameField}
              value={name}
              maxLength={64}
              autoComplete="name"
              placeholder={start.namePlaceholder}
              required
              onChange={event => setName(event.target.value)}
            />
          </div>
          <div className="field">
            <label htmlFor={roomId}>{start.room}</label>
            <div className="with-buttons">
              <input
                id={roomId}
                ref={roomField}
                value={room}
                maxLength={64}
                autoComplete="off"
                autoCapitalize="none"
                spellCheck={false}
                required
                aria-describedby={hintId}
                onChange={event => setRoom(event.target.value)}
                onBlur={() => setRoom(toName(room))}
              />
              <button
                type="button"
                className="quiet round"
                aria-label={start.newRoom}
                title={start.newRoom}
                onClick={() => setRoom(suggestRoom())}
              >
                <Icon name="dice" size={20} />
              </button>
            </div>
            <p id={hintId} className="hint">
              {start.roomHint}
            </p>
            {toName(room) !== '' && (
              <CopyLink room={toName(room)} passphrase={passphrase} className="small" />
            )}
          </div>
          {chooses && (
            <fieldset className="field regions">
              <legend>{start.role}</legend>
              <div className="choices">
                {ROLES.map(each => (
                  <Choice
                    key={each}
                    group="role"
                    value={each}
                    label={start.roles[each]}
                    chosen={role}
                    onChoose={value => setRole(value as Role)}
                  />
                ))}
              </div>
            </fieldset>
          )}
          <fieldset className="field regions">
            <legend>{start.region}</legend>
            <div className="choices">
              <Choice group="region" value="" label={start.nearest} chosen={region} onChoose={setRegion} />
              {regions.names?.map(each => (
                <Choice
                  key={each}
                  group="region"
                  value={each}
                  label={each}
                  note={regions.rttMs[each] === undefined ? '' : start.regionRtt(regions.rttMs[each])}
                  chosen={region}
                  onChoose={setRegion}
                />
              ))}
            </div>
            {regions.failed && <p className="hint">{start.regionsAway}</p>}
          </fieldset>
          <div className="field lock">
            {invitation.passphrase !== null ? (
              <p className="tick">
                <Icon name="lock" size={20} /> {start.locked}
              </p>
            ) : (
              <label className="tick">
                <input
                  type="checkbox"
                  checked={passphrase !== null}
                  disabled={!Encryption.supported}
                  aria-describedby={lockHintId}
                  onChange={event => setMade(event.target.checked ? newPassphrase() : null)}
                />
                {start.lock}
              </label>
            )}
            <p id={lockHintId} className="hint">
              {Encryption.supported ? start.lockHint : texts.errors.encryption_unsupported}
            </p>
          </div>
          {!regions.open && invitation.token === null && (
            <p className="notice">{texts.errors.token_needed}</p>
          )}
          <p id={problemId} role="alert" className={problem ? 'problem' : 'unseen'}>
            {problem}
          </p>
          <button type="submit" className="primary" disabled={joining}>
            {joining ? start.joining : start.join}
          </button>
        </form>
      </main>
    </div>
  );
}

function Choice(props: {
  group: string;
  value: string;
  label: string;
  note?: string;
  chosen: string;
  onChoose: (value: string) => void;
}) {
  return (
    <label className="choice">
      <input
        type="radio"
        name={props.group}
        value={props.value}
        checked={props.chosen === props.value}
        onChange={() => props.onChoose(props.value)}
      />
      <span>
        {props.label}
        {props.note && <small>{props.note}</small>}
      </span>
    </label>
  );
}

const ROLES: readonly Role[] = ['participant', 'host', 'audience'];

/** What to ask a token for; nothing: what a participant may. */
function grantsOf(role: Role): { grants?: Grants } {
  if (role === 'participant') return {};
  const host = role === 'host';
  const all: Source[] = ['microphone', 'camera', 'screen', 'screen_audio'];
  return { grants: { publish: host ? all : [], subscribe: true, message: true, moderate: host } };
}

/** What is switched on goes into the room with us. */
function publishNow(media: LocalMedia): Partial<Record<Source, Published>> {
  const { camera, microphone } = media.state;
  return {
    ...(microphone.track ? { microphone: { track: microphone.track, muted: !microphone.on } } : {}),
    ...(camera.track ? { camera: { track: camera.track, muted: false } } : {}),
  };
}

/** `?relay` in the address: only through TURN, for networks (and tests) that allow nothing else. */
function relayOnly(): { iceTransportPolicy?: RTCIceTransportPolicy } {
  return new URLSearchParams(location.search).has('relay') ? { iceTransportPolicy: 'relay' } : {};
}
