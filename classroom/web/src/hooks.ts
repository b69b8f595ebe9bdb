import type { Room, RoomEvents } from '@lyceum/client';
import { useCallback, useEffect, useRef, useState, useSyncExternalStore } from 'react';
import type { LocalMedia, LocalState } from './local-media';
import { type Settings, settings, watchSettings } from './settings';

export function useSettings(): Settings {
  return useSyncExternalStore(watchSettings, settings);
}

export function useLocalMedia(media: LocalMedia): LocalState {
  return useSyncExternalStore(media.subscribe, () => media.state);
}

/** Renders again at any of these events. The names must be a constant array. */
export function useRoom(room: Room, names: readonly (keyof RoomEvents)[]): void {
  const version = useRef(0);
  const subscribe = useCallback(
    (changed: () => void) => {
      const offs = names.map(name =>
        room.on(name, () => {
          version.current++;
          changed();
        }),
      );
      return () => offs.forEach(off => off());
    },
    [room, names],
  );
  useSyncExternalStore(subscribe, () => version.current);
}

/** A callback that takes an element, and the element's size in CSS pixels. */
export function useSize(): [(element: HTMLElement | null) => void, { width: number; height: number }] {
  const [element, setElement] = useState<HTMLElement | null>(null);
  const [size, setSize] = useState({ width: 0, height: 0 });
  useEffect(() => {
    if (!element) return;
    const observer = new ResizeObserver(([entry]) => {
      if (entry) setSize({ width: entry.contentRect.width, height: entry.contentRect.height });
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, [element]);
  return [setElement, size];
}
