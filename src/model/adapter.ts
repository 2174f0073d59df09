/** The adapter's values between the GPU's slabs and PEFT's tensors. */
import { MersenneTwister } from '../data/random';
import { AdapterError, type AdapterTensor, loraKey } from '../formats/peft';
import { type LoraLayout, type LoraModule, loraModules } from './lora';
import type { Session } from './session';

/** The tensors of one module in PEFT's names: A [r, in] and B [out, r]. */
const specs = (m: LoraModule, rank: number) => [
  {
    name: loraKey({ layer: m.layer, module: m.module, part: 'A' }),
    shape: [rank, m.inputs],
    module: m,
    part: 'A' as const,
  },
  {
    name: loraKey({ layer: m.layer, module: m.module, part: 'B' }),
    shape: [m.outputs, rank],
    module: m,
    part: 'B' as const,
  },
];

/** Name and shape of every tensor of an adapter. */
export const adapterSpecs = (layout: LoraLayout) => loraModules(layout).flatMap((m) => specs(m, layout.rank));

/**
 * A fresh adapter: A uniform in ±1/sqrt(in) (PEFT's kaiming_uniform with a = sqrt 5), B zero. Drawn in the order of the
 * tensors' names with torch's CPU generator, so that a seed gives what torch.rand would.
 */
export function initialAdapter(layout: LoraLayout, seed: number): Map<string, AdapterTensor> {
  const random = new MersenneTwister(seed);
  const out = new Map<string, AdapterTensor>();
  const sorted = adapterSpecs(layout).sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const { name, shape, module, part } of sorted) {
    const values = new Float32Array(shape[0] * shape[1]);
    if (part === 'A') {
      const bound = 1 / Math.sqrt(module.inputs);
      for (let i = 0; i < values.length; i++) {
        const unit = (random.nextU32() & 0xffffff) / 0x1000000;
        values[i] = Math.fround(Math.fround(unit * 2) - 1) * bound;
      }
    }
    out.set(name, { name, shape, values });
  }
  return out;
}

/** Slab contents of an adapter, padding included. Throws AdapterError for a tensor that is missing or misshapen. */
export function packAdapter(
  layout: LoraLayout,
  tensors: ReadonlyMap<string, AdapterTensor>,
): Float32Array<ArrayBuffer>[] {
  const slabs = layout.slabs.map((length) => new Float32Array(length));
  for (const { name, shape, module, part } of adapterSpecs(layout)) {
    const tensor = tensors.get(name);
    if (!tensor) throw new AdapterError('bad-adapter', `The adapter has no tensor ${name}.`, name);
    if (tensor.shape[0] !== shape[0] || tensor.shape[1] !== shape[1]) {
      throw new AdapterError(
        'bad-adapter',
        `${name} has shape [${tensor.shape}], the settings ask for [${shape}].`,
        name,
      );
    }
    const slab = slabs[module.slab];
    if (part === 'A') slab.set(tensor.values, module.a);
    else {
      for (let row = 0; row < module.outputs; row++) {
        const values = tensor.values.subarray(row * layout.rank, (row + 1) * layout.rank);
        slab.set(values, module.b + row * layout.paddedRank);
      }
    }
  }
  return slabs;
}

/** The inverse of packAdapter. */
export function unpackAdapter(layout: LoraLayout, slabs: readonly Float32Array[]): Map<string, AdapterTensor> {
  const out = new Map<string, AdapterTensor>();
  for (const { name, shape, module, part } of adapterSpecs(layout)) {
    const values = new Float32Array(shape[0] * shape[1]);
    const slab = slabs[module.slab];
    if (part === 'A') values.set(slab.subarray(module.a, module.a + values.length));
    else {
      for (let row = 0; row < module.outputs; row++) {
        const from = module.b + row * layout.paddedRank;
        values.set(slab.subarray(from, from + layout.rank), row * layout.rank);
      }
    }
    out.set(name, { name, shape, values });
  }
  return out;
}

/** Writes an adapter to the GPU and zeroes the moments. */
export function uploadAdapter(session: Session, tensors: ReadonlyMap<string, AdapterTensor>): void {
  const { cmd } = session.model;
  packAdapter(session.lora, tensors).forEach((values, i) => {
    cmd.upload({ buffer: session.memory.get(`lora.param.${i}`) }, values);
    for (const kind of ['grad', 'm', 'v']) cmd.clear({ buffer: session.memory.get(`lora.${kind}.${i}`) });
  });
}

/** Reads the adapter (or its gradients) back from the GPU. */
export async function downloadAdapter(
  session: Session,
  kind: 'param' | 'grad' = 'param',
): Promise<Map<string, AdapterTensor>> {
  const slabs: Float32Array[] = [];
  for (const [i, length] of session.lora.slabs.entries()) {
    const bytes = await session.model.cmd.read({ buffer: session.memory.get(`lora.${kind}.${i}`) }, length * 4);
    slabs.push(new Float32Array(bytes));
  }
  return unpackAdapter(session.lora, slabs);
}
