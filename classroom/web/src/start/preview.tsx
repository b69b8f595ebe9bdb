import { DeviceChoice } from '../parts/device-choice';
import { Icon } from '../parts/icons';
import { Meter } from '../parts/meter';
import { Picture } from '../parts/picture';
import { useLocalMedia } from '../hooks';
import type { LocalMedia } from '../local-media';
import { deviceProblems } from '../problems';
import { texts } from '../texts';

/** The own picture and sound before the others have them. */
export function Preview({ media }: { media: LocalMedia }) {
  const state = useLocalMedia(media);
  const { camera, microphone } = state;
  const { devices, start } = texts;
  const problems = deviceProblems(state);
  return (
    <section className="preview" aria-label={start.preview}>
      <div className="preview-frame">
        <Picture track={camera.track} mirrored />
        {!camera.track && (
          <p className="preview-word">{camera.opening ? start.previewOpening : start.previewOff}</p>
        )}
        <div className="preview-controls">
          <button
            type="button"
            className="control"
            aria-pressed={microphone.on}
            onClick={() => void media.toggle('microphone')}
          >
            <Icon name={microphone.on ? 'microphone' : 'microphoneOff'} />
            <span className="unseen">{devices.microphone}</span>
          </button>
          <button
            type="button"
            className="control"
            aria-pressed={camera.on}
            onClick={() => void media.toggle('camera')}
          >
            <Icon name={camera.on ? 'camera' : 'cameraOff'} />
            <span className="unseen">{devices.camera}</span>
          </button>
        </div>
      </div>
      <Meter track={microphone.on ? microphone.track : null} />
      <div role="status">
        {problems.length > 0 && (
          <div className="notice">
            {problems.map(problem => (
              <p key={problem}>{problem}</p>
            ))}
            <p>{start.without}</p>
          </div>
        )}
      </div>
      <DeviceChoice media={media} />
    </section>
  );
}
