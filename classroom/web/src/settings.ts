import type { VideoCodec, VideoOptions } from '@lyceum/client';

/** What the browser remembers between visits. */
export type Theme = 'system' | 'light' | 'dark';
export type Quality = 'high' | 'saving';
/** `auto`: what every browser decodes. */
export type CodecChoice = 'auto' | VideoCodec;

export interface Settings {
  name: string;
  theme: Theme;
  camera: string;
  microphone: string;
  speaker: string;
  cameraOn: boolean;
  microphoneOn: boolean;
  quality: Quality;
  codec: CodecChoice;
  details: boolean;
}

const KEY = 'lyceum';
const INITIAL: Settings = {
  name: '',
  theme: 'system',
  camera: '',
  microphone: '',
  speaker: '',
  cameraOn: true,
  microphoneOn: true,
  quality: 'high',
  codec: 'auto',
  details: false,
};

let current: Settings = read();
const listeners = new Set<() => void>();

export function settings(): Settings {
  return current;
}

/** How pictures are sent by what is chosen. */
export function videoOptions(): VideoOptions {
  return current.codec === 'auto' ? {} : { codec: current.codec };
}

export function changeSettings(change: Partial<Settings>): void {
  current = { ...current, ...change };
  try {
    localStorage.setItem(KEY, JSON.stringify(current));
  } catch {
    // A browser that keeps nothing: the settings last as long as the page.
  }
  if (change.theme !== undefined) applyTheme();
  listeners.forEach(listener => listener());
}

export function watchSettings(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Puts the chosen theme onto the document; without a choice the system's holds. */
export function applyTheme(): void {
  const root = document.documentElement;
  if (current.theme === 'system') delete root.dataset.theme;
  else root.dataset.theme = current.theme;
}

/** What is shown at the moment. */
export function shownTheme(): 'light' | 'dark' {
  if (current.theme !== 'system') return current.theme;
  return matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
}

function read(): Settings {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(KEY) ?? '{}');
    return { ...INITIAL, ...(kept as Partial<Settings>) };
  } catch {
    return INITIAL;
  }
}
