/** Line icons on a 24 × 24 field. They say nothing to screen readers: what they stand on does. */
import type { ReactNode } from 'react';

const paths = {
  microphone: (
    <>
      <rect x="9" y="3" width="6" height="11" rx="3" />
      <path d="M5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3" />
    </>
  ),
  microphoneOff: (
    <>
      <path d="M9 9V6a3 3 0 0 1 6 0v5M9.6 12.8A3 3 0 0 0 12 14M5.5 11.5a6.5 6.5 0 0 0 10 5.5M18.5 11.5a6.4 6.4 0 0 1-.5 2.5M12 18v3" />
      <path d="m4 3 16 18" />
    </>
  ),
  camera: (
    <>
      <rect x="3" y="6.5" width="12.5" height="11" rx="2.5" />
      <path d="m15.5 11 5.5-3v8l-5.5-3" />
    </>
  ),
  cameraOff: (
    <>
      <path d="M9 6.5h4a2.5 2.5 0 0 1 2.5 2.5v4M15.5 15.2A2.5 2.5 0 0 1 13 17.5H5.5A2.5 2.5 0 0 1 3 15V9c0-1 .6-1.9 1.5-2.3M15.5 11l5.5-3v8l-2.5-1.4" />
      <path d="m4 3 16 18" />
    </>
  ),
  screen: (
    <>
      <rect x="3" y="4.5" width="18" height="12" rx="2" />
      <path d="M8.5 20h7M12 13.5v-6m-2.5 2.3L12 7.5l2.5 2.3" />
    </>
  ),
  screenOff: (
    <>
      <rect x="3" y="4.5" width="18" height="12" rx="2" />
      <path d="M8.5 20h7M9.5 8l5 5m0-5-5 5" />
    </>
  ),
  chat: <path d="M4 5.5h16v11H11l-4.5 3.5v-3.5H4zM8 9.5h8M8 12.5h5" />,
  people: (
    <>
      <circle cx="9" cy="8.5" r="3.2" />
      <path d="M3 19.5c0-3.6 2.6-5.5 6-5.5s6 1.9 6 5.5M15.5 5.6a3.2 3.2 0 0 1 0 5.8M17.5 14.5c2.2.6 3.5 2.3 3.5 5" />
    </>
  ),
  previous: <path d="m14.5 5.5-6.5 6.5 6.5 6.5" />,
  next: <path d="m9.5 5.5 6.5 6.5-6.5 6.5" />,
  ear: (
    <>
      <path d="M7 10a5 5 0 0 1 10 0c0 3.2-3 3.9-3.6 6.4-.4 1.7-1.3 3.1-3 3.1A2.9 2.9 0 0 1 7.5 17" />
      <path d="M10 11a2 2 0 1 1 3.2 1.6c-.9.7-1.2 1.2-1.2 2" />
    </>
  ),
  toStage: <path d="M4 19.5h16M12 16V5m-4.5 4.5L12 5l4.5 4.5" />,
  toAudience: <path d="M4 4.5h16M12 8v11m-4.5-4.5L12 19l4.5-4.5" />,
  leave: <path d="M13.5 4.5h-8v15h8M10 12h10.5m-3.5-3.5 3.5 3.5-3.5 3.5" />,
  settings: (
    <>
      <path d="M4 7.5h8.5M17.5 7.5H20M4 16.5h2.5M11.5 16.5H20" />
      <circle cx="15" cy="7.5" r="2.5" />
      <circle cx="9" cy="16.5" r="2.5" />
    </>
  ),
  help: (
    <>
      <circle cx="12" cy="12" r="8.5" />
      <path d="M9.6 9.7a2.5 2.5 0 1 1 3.6 2.2c-.8.4-1.2.9-1.2 1.7M12 16.5v.1" />
    </>
  ),
  copy: (
    <>
      <rect x="8.5" y="8.5" width="11.5" height="11.5" rx="2" />
      <path d="M15.5 8.5V6a2 2 0 0 0-2-2H6a2 2 0 0 0-2 2v7.5a2 2 0 0 0 2 2h2.5" />
    </>
  ),
  pause: <path d="M8 5.5v13M16 5.5v13" />,
  lock: (
    <>
      <rect x="5" y="10.5" width="14" height="9.5" rx="2" />
      <path d="M8 10.5V8a4 4 0 0 1 8 0v2.5M12 14.5v2" />
    </>
  ),
  check: <path d="m5 12.5 4.5 4.5L19 7.5" />,
  pin: <path d="M9 4h6l-.8 6 2.8 3.5H7L9.8 10zM12 13.5V20" />,
  dice: (
    <>
      <path d="M4.5 12a7.5 7.5 0 0 1 13-5.1L19.5 9M19.5 4.5V9H15M19.5 12a7.5 7.5 0 0 1-13 5.1L4.5 15M4.5 19.5V15H9" />
    </>
  ),
  close: <path d="m6 6 12 12M18 6 6 18" />,
  send: <path d="M4.5 12 20 4.5 15.5 20l-3.5-6zM12 14l8-9.5" />,
  sun: (
    <>
      <circle cx="12" cy="12" r="3.8" />
      <path d="M12 3v2M12 19v2M3 12h2M19 12h2M5.6 5.6 7 7M17 17l1.4 1.4M5.6 18.4 7 17M17 7l1.4-1.4" />
    </>
  ),
  moon: <path d="M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10z" />,
  path: (
    <>
      <circle cx="5" cy="12" r="2" />
      <circle cx="19" cy="12" r="2" />
      <path d="M7 12h10" />
    </>
  ),
} satisfies Record<string, ReactNode>;

export type IconName = keyof typeof paths;

export function Icon({ name, size = 22 }: { name: IconName; size?: number }) {
  return (
    <svg
      className="icon"
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.7"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
      focusable="false"
    >
      {paths[name]}
    </svg>
  );
}

/** The portico: a roof on four columns. */
export function Logo({ size = 30 }: { size?: number }) {
  return (
    <svg className="logo" width={size} height={size} viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <path
        d="M4 11.5 16 4.5l12 7v2.5H4zM8 17v7M13.3 17v7M18.7 17v7M24 17v7M4 27.5h24"
        fill="none"
        stroke="currentColor"
        strokeWidth="2"
        strokeLinejoin="round"
        strokeLinecap="round"
      />
    </svg>
  );
}
