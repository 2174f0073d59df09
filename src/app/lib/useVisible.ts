import { type RefCallback, useCallback, useState } from 'react';

/** Whether an element is on the screen, or nearly. */
export function useVisible(): [RefCallback<HTMLElement>, boolean] {
  const [visible, setVisible] = useState(true);
  const ref = useCallback((element: HTMLElement | null) => {
    if (!element) return;
    const observer = new IntersectionObserver((entries) => setVisible(entries.at(-1)?.isIntersecting ?? true), {
      rootMargin: '80px',
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [ref, visible];
}
