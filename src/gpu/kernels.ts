/** Compiled kernels, kept by what they were made from. */
import { GpuError } from './errors';
import { type Binding, type Constants, type ParamField, parseBindings, parseParams, preprocess } from './wgsl';

/** What a kernel is made from. `name` and the rest together are its identity. */
export interface KernelSpec {
  /** The op and its variant, for labels and error messages. */
  name: string;
  source: string;
  flags?: readonly string[];
  constants?: Constants;
}

export interface Kernel {
  readonly id: number;
  readonly name: string;
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  readonly bindings: readonly Binding[];
  /** Names of the buffers among them. */
  readonly buffers: readonly string[];
  readonly params: readonly ParamField[];
}

/** What tells kernels apart. */
export const kernelKey = (spec: KernelSpec): string => (spec instanceof FamilySpec ? spec.key : keyOf(spec));

const keyOf = ({ name, flags, constants }: KernelSpec): string =>
  `${name}|${flags?.join(' ') ?? ''}|${JSON.stringify(constants ?? {})}`;

/** A spec that keeps its key, which no copy with other flags shares. */
class FamilySpec implements KernelSpec {
  readonly name: string;
  readonly source: string;
  readonly flags: readonly string[];
  readonly constants: Constants;
  readonly #key: string;

  constructor(family: string, source: string, flags: string, constants: Constants) {
    this.flags = flags.split(' ').filter(Boolean);
    this.name = [family, ...this.flags].join(' ');
    this.source = source;
    this.constants = constants;
    this.#key = keyOf(this);
  }

  get key(): string {
    return this.#key;
  }
}

/**
 * The kernels of one source and its constants that differ in their flags. A step records thousands of dispatches, and making a spec
 * and its key anew for each would take longer than recording it.
 */
export class KernelFamily {
  readonly #name: string;
  readonly #source: string;
  readonly #constants: Constants;
  readonly #specs = new Map<string, KernelSpec>();

  constructor(name: string, source: string, constants: Constants = {}) {
    this.#name = name;
    this.#source = source;
    this.#constants = constants;
  }

  /** @param flags with spaces between them */
  with(flags = ''): KernelSpec {
    let spec = this.#specs.get(flags);
    if (!spec) {
      spec = new FamilySpec(this.#name, this.#source, flags, this.#constants);
      this.#specs.set(flags, spec);
    }
    return spec;
  }
}

/** A value made once for each key, such as a family of kernels for each tile. */
export function oncePer<K extends object, V extends object>(make: (key: K) => V): (key: K) => V {
  const made = new WeakMap<K, V>();
  return (key) => {
    let value = made.get(key);
    if (!value) {
      value = make(key);
      made.set(key, value);
    }
    return value;
  };
}

type Described = Omit<Kernel, 'id' | 'pipeline'> & { descriptor: GPUComputePipelineDescriptor };

export class KernelCache {
  readonly device: GPUDevice;
  readonly #kernels = new Map<string, Kernel>();

  constructor(device: GPUDevice) {
    this.device = device;
  }

  get size(): number {
    return this.#kernels.size;
  }

  /** The kernel for a spec, compiled at its first use. */
  get(spec: KernelSpec): Kernel {
    const key = kernelKey(spec);
    const kernel = this.#kernels.get(key);
    if (kernel) return kernel;
    const { descriptor, ...rest } = this.#describe(spec);
    return this.#keep(key, { ...rest, pipeline: this.device.createComputePipeline(descriptor) });
  }

  /**
   * Compiles what is not yet here, all at once, so that the driver can use every core that it has.
   * @throws GpuError `shader` for a kernel that the device refuses
   */
  async prepare(specs: readonly KernelSpec[], onProgress?: (done: number, total: number) => void): Promise<void> {
    const wanted = new Map(specs.map((spec) => [kernelKey(spec), spec]));
    for (const key of this.#kernels.keys()) wanted.delete(key);
    let done = 0;
    if (wanted.size > 0) onProgress?.(0, wanted.size);
    await Promise.all(
      [...wanted].map(async ([key, spec]) => {
        const { descriptor, ...rest } = this.#describe(spec);
        const pipeline = await this.device.createComputePipelineAsync(descriptor).catch((cause) => {
          const text = `The GPU refused part of the work: ${(cause as Error).message.slice(0, 300)}`;
          throw new GpuError('shader', text, { cause });
        });
        if (!this.#kernels.has(key)) this.#keep(key, { ...rest, pipeline });
        onProgress?.(++done, wanted.size);
      }),
    );
  }

  #keep(key: string, parts: Omit<Kernel, 'id'>): Kernel {
    const kernel = { id: this.#kernels.size, ...parts };
    this.#kernels.set(key, kernel);
    return kernel;
  }

  #describe(spec: KernelSpec): Described {
    const code = preprocess(spec.source, new Set(spec.flags), spec.constants ?? {});
    const bindings = parseBindings(code);
    const storageLimit = this.device.limits.maxStorageBuffersPerShaderStage;
    const buffers = bindings.filter((b) => b.kind !== 'uniform').map((b) => b.name);
    if (buffers.length > storageLimit) {
      throw new GpuError('limits', `${spec.name} binds more than this GPU's ${storageLimit} storage buffers`);
    }
    const layout = this.device.createBindGroupLayout({
      label: spec.name,
      entries: bindings.map((b) => ({
        binding: b.index,
        visibility: 4 /* GPUShaderStage.COMPUTE */,
        buffer:
          b.kind === 'uniform'
            ? { type: 'uniform' as const, hasDynamicOffset: true }
            : { type: b.kind === 'read' ? ('read-only-storage' as const) : ('storage' as const) },
      })),
    });
    const module = this.device.createShaderModule({ label: spec.name, code });
    const descriptor = {
      label: spec.name,
      layout: this.device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: 'main' },
    };
    return { name: spec.name, descriptor, layout, bindings, buffers, params: parseParams(code) };
  }
}
