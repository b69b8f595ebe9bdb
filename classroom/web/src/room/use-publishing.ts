import type { Room, Source } from '@lyceum/client';
import { DeviceError, openScreen } from '@lyceum/client';
import { useCallback, useEffect, useState } from 'react';
import { useLocalMedia, useRoom } from '../hooks';
import type { LocalMedia } from '../local-media';
import { texts } from '../texts';

const PUBLISHED = ['published', 'me'] as const;

/** Keeps what the room gets in step with the own devices. */
export function usePublishing(room: Room, media: LocalMedia): void {
  const { camera, microphone } = useLocalMedia(media);
  useEffect(() => {
    void follow(room, 'camera', camera.track, !camera.track);
  }, [room, camera.track]);
  useEffect(() => {
    void follow(room, 'microphone', microphone.track, !microphone.on || !microphone.track);
  }, [room, microphone.track, microphone.on]);
}

/** Brings one source in the room up to what the device is now. */
export async function follow(
  room: Room,
  source: Source,
  track: MediaStreamTrack | null,
  muted: boolean,
): Promise<void> {
  const before = room.published.get(source);
  if (!before && !track) return;
  if (room.me && !room.me.grants.publish.includes(source)) return;
  if (before?.track === track) await room.setMuted(source, muted);
  else await room.publish(source, track, muted);
}

export interface Sharing {
  track: MediaStreamTrack | null;
  problem: string | null;
  toggle: () => void;
}

/** The own screen. */
export function useSharing(room: Room): Sharing {
  useRoom(room, PUBLISHED);
  const [problem, setProblem] = useState<string | null>(null);
  const track = room.published.get('screen')?.track ?? null;

  const stop = useCallback(() => {
    for (const source of ['screen', 'screen_audio'] as const) {
      room.published.get(source)?.track?.stop();
      void room.unpublish(source);
    }
  }, [room]);

  const start = useCallback(async () => {
    setProblem(null);
    try {
      const { video, audio } = await openScreen();
      // The browser's own bar has a button to stop, too.
      video.onended = stop;
      await room.publish('screen', video);
      if (audio) await room.publish('screen_audio', audio);
    } catch (error) {
      setProblem(
        error instanceof DeviceError
          ? texts.devices.problem('screen', error.problem)
          : texts.errors.not_allowed,
      );
    }
  }, [room, stop]);

  useEffect(() => stop, [stop]);
  const toggle = useCallback(() => {
    if (track) stop();
    else void start();
  }, [track, start, stop]);
  return { track, problem, toggle };
}
