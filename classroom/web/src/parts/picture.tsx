import { useEffect, useRef, useState } from 'react';

interface Props {
  track: MediaStreamTrack | null;
  /** The own camera is shown as in a mirror. */
  mirrored?: boolean;
  /** All of it, rather than cropped. */
  whole?: boolean;
  /** Whether the packets in the track are already this picture's; undefined when unknown. */
  arrived?: () => boolean | undefined;
}

/** A slot that was given to somebody else shows the one before until the new packets come; no longer than this. */
const ARRIVAL_MS = 1_500;

/** A video without sound (the room's voices are played by the SDK). Invisible until it has something to show. */
export function Picture({ track, mirrored = false, whole = false, arrived }: Props) {
  const ref = useRef<HTMLVideoElement>(null);
  const [playing, setPlaying] = useState<MediaStreamTrack | null>(null);

  useEffect(() => {
    const video = ref.current;
    if (!video) return;
    video.srcObject = track ? new MediaStream([track]) : null;
    if (!track) return;
    let frame = 0;
    let stopped = false;
    const began = performance.now();
    const look = () => {
      if (stopped) return;
      const late = performance.now() - began > ARRIVAL_MS;
      if (video.videoWidth > 0 && (arrived?.() !== false || late)) setPlaying(track);
      else frame = requestAnimationFrame(look);
    };
    look();
    void video.play().catch(() => undefined);
    return () => {
      stopped = true;
      cancelAnimationFrame(frame);
      setPlaying(null);
    };
    // `arrived` is asked while the track is fresh; a new function is no new picture.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [track]);

  const shown = track !== null && playing === track;
  const classes = ['picture', mirrored && 'mirrored', whole && 'whole', shown && 'shown']
    .filter(Boolean)
    .join(' ');
  return <video ref={ref} className={classes} autoPlay playsInline muted tabIndex={-1} aria-hidden="true" />;
}
