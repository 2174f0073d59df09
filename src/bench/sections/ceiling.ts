/** What the device can move: a large copy. */
import { measure } from '../harness';
import type { Section } from '../section';

export const ceiling: Section = async ({ gpu, bench, show }) => {
  const { cmd } = bench;
  const bytes = Math.min(gpu.isSoftware ? 2 ** 26 : 2 ** 29, gpu.device.limits.maxBufferSize);
  const [from, to] = [bench.bits(bytes), bench.bits(bytes)];
  const record = () => cmd.copy(from, to, bytes);
  show(await measure(cmd, [{ group: 'ceiling', name: 'copy', record, bytes: 2 * bytes }]));
  await cmd.finish();
  bench.destroy();
};
