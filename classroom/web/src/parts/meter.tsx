import { LevelMeter } from '@lyceum/client';
import { useEffect, useRef } from 'react';
import { texts } from '../texts';

/** Looks per second: enough to follow a voice, little enough not to be noticed. */
const LOOKS_PER_SECOND = 12;

/** How loud the microphone is. Drawn past React: it changes many times a second. */
export function Meter({ track }: { track: MediaStreamTrack | null }) {
  const bar = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = bar.current;
    if (!element) return;
    const draw = (level: number) => {
      element.style.setProperty('--level', level.toFixed(3));
      element.setAttribute('aria-valuenow', String(Math.round(level * 100)));
    };
    draw(0);
    if (!track) return;
    const meter = new LevelMeter(track);
    const timer = setInterval(() => draw(meter.level()), 1000 / LOOKS_PER_SECOND);
    return () => {
      clearInterval(timer);
      meter.close();
    };
  }, [track]);
  return (
    <div
      ref={bar}
      className="meter"
      role="meter"
      aria-label={texts.devices.level}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={0}
    />
  );
}
