/** How large an export will be, told before it begins. */
import { useEffect, useState } from 'react';
import { useShallow } from 'zustand/react/shallow';
import type { ExportKind, ExportSize } from '../../worker/protocol';
import { formatBytes, plural } from '../lib/format';
import { formOf, sizeOf, useExports } from '../store/exports';
import { useRun } from '../store/run';

export function ExportSizeLine({ kind }: { kind: ExportKind }) {
  const form = useExports(useShallow((state) => formOf(kind, state)));
  const endedAt = useRun((state) => state.endedAt);
  const [size, setSize] = useState<ExportSize | null>(null);
  // A new run may be of another model.
  // biome-ignore lint/correctness/useExhaustiveDependencies: endedAt is not read
  useEffect(() => {
    let wanted = true;
    void sizeOf(form).then((found) => wanted && setSize(found));
    return () => {
      wanted = false;
    };
  }, [form, endedAt]);
  return (
    <p className="size-line number" aria-live="polite">
      {size && `${formatBytes(size.bytes)} of weights in ${plural(size.weightFiles, 'file')}`}
    </p>
  );
}
