import type { MemoryItem } from '../../worker/protocol';
import { formatBytes } from '../lib/format';

/** What fills the GPU, to scale, with numbers. */
export function MemoryBar({ items, total }: { items: MemoryItem[]; total: number }) {
  const shown = items.filter((item) => item.bytes > 0);
  const sum = shown.reduce((bytes, item) => bytes + item.bytes, 0);
  return (
    <section aria-label="GPU memory">
      <h2 className="side-title">
        GPU memory <span aria-hidden="true">·</span> {formatBytes(total)}
      </h2>
      <div className="memory-bar" aria-hidden="true">
        {shown.map((item) => (
          <span
            key={item.name + item.label}
            className={`m-${item.name}`}
            style={{ flexGrow: item.bytes / Math.max(1, sum) }}
          />
        ))}
      </div>
      <ul className="memory-list">
        {shown.map((item) => (
          <li key={item.name + item.label}>
            <span className={`swatch m-${item.name}`} aria-hidden="true" />
            <span className="grow">{item.label}</span>
            <span className="number">{formatBytes(item.bytes)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
