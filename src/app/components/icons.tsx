/** Line icons on a 20-unit grid; they take the colour of the text and are hidden from screen readers. */
import type { ReactNode } from 'react';

function Icon({ children, className }: { children: ReactNode; className?: string }) {
  return (
    <svg
      className={className ? `icon ${className}` : 'icon'}
      viewBox="0 0 20 20"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.6"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
      focusable="false"
    >
      {children}
    </svg>
  );
}

const paths = {
  check: <path d="m4.5 10.5 3.5 3.5 7.5-8" />,
  lock: <path d="M5.5 9h9v7h-9zM7 9V6.5a3 3 0 0 1 6 0V9" />,
  sun: (
    <path d="M10 6.5a3.5 3.5 0 1 1 0 7 3.5 3.5 0 0 1 0-7ZM10 2v1.5M10 16.5V18M2 10h1.5M16.5 10H18M4.3 4.3l1.1 1.1M14.6 14.6l1.1 1.1M4.3 15.7l1.1-1.1M14.6 5.4l1.1-1.1" />
  ),
  moon: <path d="M16 11.5A6.5 6.5 0 0 1 8.5 4a6.5 6.5 0 1 0 7.5 7.5Z" />,
  system: (
    <>
      <circle cx="10" cy="10" r="6.5" />
      <path d="M10 3.5v13a6.5 6.5 0 0 0 0-13Z" fill="currentColor" />
    </>
  ),
  close: <path d="m5.5 5.5 9 9M14.5 5.5l-9 9" />,
  upload: <path d="M10 13V4M6.5 7 10 3.5 13.5 7M4 13v3h12v-3" />,
  download: <path d="M10 3.5v9M6.5 9.5 10 13l3.5-3.5M4 13v3h12v-3" />,
  folder: <path d="M3 5.5h5l1.5 2H17V15H3z" />,
  file: <path d="M5 3h6l4 4v10H5zM11 3v4h4" />,
  copy: <path d="M7.5 7.5h8v9h-8zM12.5 7.5v-4h-8v9h3" />,
  play: <path d="M7 4.5v11l8.5-5.5z" fill="currentColor" />,
  pause: <path d="M6 5h2.6v10H6zM11.4 5H14v10h-2.6z" fill="currentColor" />,
  step: <path d="M5 5v10l7-5zM14 5v10" fill="currentColor" />,
  stop: <path d="M5.5 5.5h9v9h-9z" fill="currentColor" />,
  alert: <path d="M10 3 2.5 16.5h15zM10 8v4M10 14.2v.1" />,
  info: <path d="M10 2.8a7.2 7.2 0 1 1 0 14.4 7.2 7.2 0 0 1 0-14.4ZM10 9v5M10 6.2v.1" />,
  drive: <path d="M3 11.5h14v4H3zM3 11.5 5.5 4.5h9l2.5 7M13.8 13.5h.1" />,
  trash: <path d="M4 6h12M8 6V4h4v2M5.5 6l.7 10.5h7.6L14.5 6" />,
  undo: <path d="M4 8h8a4 4 0 0 1 0 8H8M4 8l3.5-3.5M4 8l3.5 3.5" />,
  arrow: <path d="M4 10h12M11 5l5 5-5 5" />,
  chip: <path d="M6 6h8v8H6zM8.5 3v3M11.5 3v3M8.5 14v3M11.5 14v3M3 8.5h3M3 11.5h3M14 8.5h3M14 11.5h3" />,
  shield: <path d="M10 2.8 16 5v5c0 3.5-2.4 6-6 7.2C6.4 16 4 13.5 4 10V5zM7.3 10l2 2 3.5-4" />,
  list: <path d="M7.5 5.5H17M7.5 10H17M7.5 14.5H17M3.5 5.5h.1M3.5 10h.1M3.5 14.5h.1" />,
  chat: <path d="M4 4.5h12v8.5H9.5L6 16v-3H4z" />,
  pen: <path d="m4 16 .8-3.6L13.5 3.7l2.8 2.8-8.7 8.7zM11.5 5.7l2.8 2.8" />,
  previous: <path d="M12.5 4.5 7 10l5.5 5.5" />,
  next: <path d="M7.5 4.5 13 10l-5.5 5.5" />,
} satisfies Record<string, ReactNode>;

export type IconName = keyof typeof paths;

export function Glyph({ name, className }: { name: IconName; className?: string }) {
  return <Icon className={className}>{paths[name]}</Icon>;
}

/** The mark: two answers that part ways. */
export function Mark() {
  return (
    <svg className="mark" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <path className="mark-chosen" d="M5 16c4-1 5-9 11-9 5 0 6-1 11-2" />
      <path className="mark-rejected" d="M5 16c4 1 5 8 11 8 5 0 7 1 11 3" />
      <circle className="mark-prompt" cx="5" cy="16" r="3" />
    </svg>
  );
}
