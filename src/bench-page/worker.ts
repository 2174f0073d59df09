/** The benchmark's thread: the same sections as `npm run -s bench`, in a browser. */
import { Bench, type Measurement } from '../bench/harness';
import type { BenchRun, Section } from '../bench/section';
import { attention } from '../bench/sections/attention';
import { ceiling } from '../bench/sections/ceiling';
import { evaluation } from '../bench/sections/eval';
import { fit } from '../bench/sections/fit';
import { generation } from '../bench/sections/generate';
import { products } from '../bench/sections/products';
import { race } from '../bench/sections/race';
import { scaling } from '../bench/sections/scaling';
import { step } from '../bench/sections/step';
import { tokenise } from '../bench/sections/tokenise';
import { Commands } from '../gpu/commands';
import { type Gpu, openGpu, withTier } from '../gpu/device';
import { TIERS } from '../gpu/tiers';
import type { BenchDevice, FromBench, ToBench } from './messages';
import type { SectionName } from './sections';
import { siteFolder } from './web-files';

const SECTIONS: Record<SectionName, Section> = {
  ceiling,
  products,
  attention,
  step,
  fit,
  tokenise,
  eval: evaluation,
  generate: generation,
  scaling,
  race,
};

const send = (message: FromBench) => self.postMessage(message);

/** The page's folder: built, this script lies in `assets/` of it. */
const base = new URL(import.meta.env.DEV ? '/' : '../', import.meta.url).href;

let opened: Promise<Gpu> | null = null;
const open = () => {
  opened ??= openGpu(navigator.gpu);
  return opened;
};

function describe({ info, isSoftware, profile, support }: Gpu): BenchDevice {
  return {
    adapter: [info.vendor, info.architecture, info.description].filter(Boolean).join(' '),
    isSoftware,
    tier: profile.tier,
    tiers: TIERS.map((tier) => ({ tier, missing: support.missing[tier] ?? null })),
  };
}

async function start({ sections, quick, tier }: Extract<ToBench, { type: 'start' }>): Promise<void> {
  const gpu = withTier(await open(), tier);
  const device = describe(gpu);
  send({ type: 'device', device });
  const results: Measurement[] = [];
  let section: SectionName = sections[0];
  const run: BenchRun = {
    gpu,
    bench: new Bench(new Commands(gpu.device)),
    quick,
    folder: (path) => siteFolder(base, path),
    model: null,
    // Pages are told of no more than their heap, without the arrays that matter.
    heapBytes: () => null,
    reference: null,
    pairs: null,
    keepBytes: [-1],
    secondsLeft: () => Number.POSITIVE_INFINITY,
    async save() {
      const { userAgent } = navigator;
      const { adapter, isSoftware } = device;
      send({
        type: 'report',
        report: {
          adapter,
          isSoftware,
          tier: device.tier,
          userAgent,
          quick,
          results,
          ...run.report,
          faults: gpu.faults,
        },
      });
    },
    print: (line) => send({ type: 'line', section, line }),
    show(list) {
      results.push(...list);
      send({ type: 'measured', section, list });
    },
    report: {},
  };
  for (section of sections) {
    send({ type: 'began', section });
    try {
      await SECTIONS[section](run);
    } catch (error) {
      // What the other sections measure is not lost with this one.
      send({ type: 'failed', section, message: (error as Error).message });
    }
    await run.save();
  }
  for (const fault of gpu.faults) send({ type: 'failed', section: null, message: fault });
  send({ type: 'done' });
}

self.addEventListener('message', async ({ data }: MessageEvent<ToBench>) => {
  try {
    if (data.type === 'open') send({ type: 'device', device: describe(await open()) });
    else await start(data);
  } catch (error) {
    send({ type: 'failed', section: null, message: (error as Error).message });
  }
});
