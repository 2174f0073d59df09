/** The adapter's values between the GPU's slabs and PEFT's tensors. */
import { MersenneTwister } from '../data/random';
import { AdapterError, type AdapterTensor, loraKey } from '../formats/peft';
import { type LoraLayout, type LoraTensor, loraTensors } from './lora';
import type { Session } from './session';

const size = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

/** Every tensor of an adapter with its name in PEFT's layout. */
export const adapterSpecs = (layout: LoraLayout): (LoraTensor & { name: string })[] =>
  loraTensors(layout).map((tensor) => {
    const { layer, module } = tensor.lora;
    return { ...tensor, name: loraKey({ layer, module, part: tensor.part }) };
  });

/**
 * A fresh adapter: A uniform in ±1/sqrt(in) (PEFT's kaiming_uniform with a = sqrt 5), B zero. Drawn in the order of the
 * tensors' names with torch's CPU generator, so that a seed gives what torch.rand would. DoRA's magnitudes are not among
 * them: uploadAdapter takes them from the weights.
 */
export function initialAdapter(layout: LoraLayout, seed: number): Map<string, AdapterTensor> {
  const random = new MersenneTwister(seed);
  const out = new Map<string, AdapterTensor>();
  const sorted = adapterSpecs(layout).sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const { name, shape, lora, part } of sorted) {
    if (part === 'magnitude') continue;
    const values = new Float32Array(size(shape));
    if (part === 'A') {
      // torch rounds the factor to float32 before it multiplies.
      const bound = Math.fround(1 / Math.sqrt(lora.inputs));
      for (let i = 0; i < values.length; i++) {
        const unit = (random.nextU32() & 0xffffff) / 0x1000000;
        values[i] = Math.fround(Math.fround(unit * 2) - 1) * bound;
      }
    }
    out.set(name, { name, shape, values });
  }
  return out;
}

/**
 * Slab contents of an adapter, padding included. DoRA's magnitudes may be missing and are then zero.
 * Throws AdapterError for a tensor that is missing or misshapen.
 */
export function packAdapter(
  layout: LoraLayout,
  tensors: ReadonlyMap<string, AdapterTensor>,
): Float32Array<ArrayBuffer>[] {
  const slabs = layout.slabs.map((length) => new Float32Array(length));
  for (const spec of adapterSpecs(layout)) {
    const tensor = tensors.get(spec.name);
    if (!tensor) {
      if (spec.part === 'magnitude') continue;
      throw new AdapterError('bad-adapter', `The adapter has no tensor ${spec.name}.`, spec.name);
    }
    if (String(tensor.shape) !== String(spec.shape)) {
      throw new AdapterError(
        'bad-adapter',
        `${spec.name} has shape [${tensor.shape}], the settings ask for [${spec.shape}].`,
        spec.name,
      );
    }
    const slab = slabs[spec.slab];
    eachRow(spec, (at, from, to) => slab.set(tensor.values.subarray(from, to), at));
  }
  return slabs;
}

/** The inverse of packAdapter. */
export function unpackAdapter(layout: LoraLayout, slabs: readonly Float32Array[]): Map<string, AdapterTensor> {
  const out = new Map<string, AdapterTensor>();
  for (const spec of adapterSpecs(layout)) {
    const values = new Float32Array(size(spec.shape));
    const slab = slabs[spec.slab];
    eachRow(spec, (at, from, to) => values.set(slab.subarray(at, at + to - from), from));
    out.set(spec.name, { name: spec.name, shape: spec.shape, values });
  }
  return out;
}

/** Calls `visit` for the stretches that lie in one piece both in the tensor, at [from, to), and in the slab, at `at`. */
function eachRow(tensor: LoraTensor, visit: (at: number, from: number, to: number) => void): void {
  const total = size(tensor.shape);
  const length = tensor.stride === tensor.columns ? total : tensor.columns;
  for (let from = 0, at = tensor.offset; from < total; from += length, at += tensor.stride) {
    visit(at, from, from + length);
  }
}

/**
 * Writes an adapter to the GPU and zeroes the moments. With DoRA an adapter without magnitudes (a fresh one, or a LoRA)
 * gets those that change nothing: the norms of the adapted weights' rows.
 */
export function uploadAdapter(session: Session, tensors: ReadonlyMap<string, AdapterTensor>): void {
  const { cmd } = session.model;
  packAdapter(session.lora, tensors).forEach((values, i) => {
    cmd.upload({ buffer: session.memory.get(`lora.param.${i}`) }, values);
    for (const kind of ['grad', 'm', 'v', 'state']) {
      const name = `lora.${kind}.${i}`;
      if (session.memory.has(name)) cmd.clear({ buffer: session.memory.get(name) });
    }
  });
  const magnitudes = adapterSpecs(session.lora).filter(({ part }) => part === 'magnitude');
  const given = magnitudes.filter(({ name }) => tensors.has(name)).length;
  if (given === magnitudes.length) return;
  if (given > 0) throw new AdapterError('bad-adapter', 'The adapter has magnitudes for some of its modules only.');
  session.startMagnitudes();
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
