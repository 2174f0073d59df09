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
  readonly params: readonly ParamField[];
}

/** What tells kernels apart. */
export const kernelKey = (spec: KernelSpec): string =>
  `${spec.name}|${spec.flags?.join(' ') ?? ''}|${JSON.stringify(spec.constants ?? {})}`;

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
    if (bindings.filter((b) => b.kind !== 'uniform').length > storageLimit) {
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
    return { name: spec.name, descriptor, layout, bindings, params: parseParams(code) };
  }
}
