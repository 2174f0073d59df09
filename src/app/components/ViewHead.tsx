import { type ReactNode, useEffect, useRef } from 'react';

/** The view's heading, which takes the focus when the visitor comes from another step. */
export function ViewHead({ title, note, children }: { title: string; note?: ReactNode; children?: ReactNode }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    // On the first load the focus stays where the browser puts it.
    if (document.activeElement && document.activeElement !== document.body) heading.current?.focus();
  }, []);
  return (
    <div className="view-head">
      <h1 ref={heading} tabIndex={-1}>
        {title}
      </h1>
      {note && <p className="view-note">{note}</p>}
      {children && <div className="actions">{children}</div>}
    </div>
  );
}
