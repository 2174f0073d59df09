/** Small parts that every view uses. */
import type { ButtonHTMLAttributes, ReactNode } from 'react';
import { useId, useRef, useState } from 'react';
import { Glyph, type IconName } from './icons';

type ButtonProps = ButtonHTMLAttributes<HTMLButtonElement> & {
  look?: 'primary' | 'plain' | 'quiet' | 'danger';
  icon?: IconName;
};

export function Button({ look = 'plain', icon, children, className = '', ...rest }: ButtonProps) {
  return (
    <button type="button" className={`button ${look} ${className}`} {...rest}>
      {icon && <Glyph name={icon} />}
      {children}
    </button>
  );
}

export function IconButton({ icon, label, ...rest }: { icon: IconName; label: string } & ButtonProps) {
  return (
    <button type="button" className="icon-button" aria-label={label} title={label} {...rest}>
      <Glyph name={icon} />
    </button>
  );
}

/** A bar of 0..1, or a moving one when nothing is known. */
export function Progress({ value, label }: { value: number | null; label: string }) {
  const percent = value === null ? undefined : Math.round(Math.min(1, Math.max(0, value)) * 1000) / 10;
  return (
    <div
      className={percent === undefined ? 'progress unknown' : 'progress'}
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={percent}
    >
      <div className="progress-fill" style={percent === undefined ? undefined : { translate: `${percent - 100}%` }} />
    </div>
  );
}

/** A button that opens a file dialog; the input itself is what keyboards and screen readers meet. */
export function FileButton({
  label,
  accept,
  onFile,
  onFiles,
  multiple = false,
  folder = false,
  look = 'plain',
  icon,
  disabled,
}: {
  label: string;
  accept?: string;
  onFile?(file: File): void;
  onFiles?(files: File[]): void;
  multiple?: boolean;
  /** Asks for a directory, and gives all files in it. */
  folder?: boolean;
  look?: 'primary' | 'plain' | 'quiet';
  icon?: IconName;
  disabled?: boolean;
}) {
  const id = useId();
  return (
    <span className="file-button">
      <input
        id={id}
        type="file"
        accept={accept}
        multiple={multiple}
        ref={(input) => {
          if (input) input.webkitdirectory = folder;
        }}
        disabled={disabled}
        onChange={(event) => {
          const files = [...(event.target.files ?? [])];
          // Emptied, so that choosing the same file again is a change as well.
          event.target.value = '';
          if (files.length === 0) return;
          onFile?.(files[0]);
          onFiles?.(files);
        }}
      />
      <label htmlFor={id} className={`button ${look}`}>
        {icon && <Glyph name={icon} />}
        {label}
      </label>
    </span>
  );
}

export function CopyButton({ text, label }: { text: string; label: string }) {
  const [copied, setCopied] = useState<'no' | 'yes' | 'failed'>('no');
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const copy = async () => {
    clearTimeout(timer.current);
    try {
      await navigator.clipboard.writeText(text);
      setCopied('yes');
    } catch {
      setCopied('failed');
    }
    timer.current = setTimeout(() => setCopied('no'), 3000);
  };
  const shown = copied === 'yes' ? 'Copied' : copied === 'failed' ? 'Select and copy by hand' : 'Copy';
  return (
    <button type="button" className="button quiet small" onClick={copy} aria-label={copied === 'no' ? label : shown}>
      <Glyph name={copied === 'yes' ? 'check' : 'copy'} />
      {shown}
    </button>
  );
}

/** Code to copy, under a heading. */
export function Snippet({ title, code, label }: { title: string; code: string; label: string }) {
  return (
    <div className="card snippet">
      <div className="spread">
        <h3>{title}</h3>
        <CopyButton text={code} label={`Copy: ${label}`} />
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be reachable by keyboard */}
      <section tabIndex={0} aria-label={label}>
        <pre>
          <code>{code}</code>
        </pre>
      </section>
    </div>
  );
}

export function Card({ children, className = '', ...rest }: { children: ReactNode; className?: string; id?: string }) {
  return (
    <div className={`card ${className}`} {...rest}>
      {children}
    </div>
  );
}

export function Badge({
  tone = 'plain',
  children,
}: {
  tone?: 'plain' | 'good' | 'warn' | 'bad' | 'accent';
  children: ReactNode;
}) {
  return <span className={`badge ${tone}`}>{children}</span>;
}

/** What is missing and where to get it. */
export function Empty({ title, children, action }: { title: string; children: ReactNode; action?: ReactNode }) {
  return (
    <div className="empty">
      <h2>{title}</h2>
      <p>{children}</p>
      {action}
    </div>
  );
}

/** Names and values. */
export function Facts({ rows }: { rows: [string, ReactNode][] }) {
  return (
    <dl className="facts">
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** A link to another site, which opens beside the page: a run or a download goes on here. */
export function OutLink({ href, children }: { href: string; children?: ReactNode }) {
  return (
    <a href={href} target="_blank" rel="noreferrer">
      {children ?? href.replace(/^https?:\/\//u, '')}
    </a>
  );
}
