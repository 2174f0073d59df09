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
    const key = `${spec.name}|${spec.flags?.join(' ') ?? ''}|${JSON.stringify(spec.constants ?? {})}`;
    let kernel = this.#kernels.get(key);
    if (!kernel) {
      kernel = this.#compile(spec);
      this.#kernels.set(key, kernel);
    }
    return kernel;
  }

  #compile(spec: KernelSpec): Kernel {
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
    const pipeline = this.device.createComputePipeline({
      label: spec.name,
      layout: this.device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: 'main' },
    });
    return { id: this.#kernels.size, name: spec.name, pipeline, layout, bindings, params: parseParams(code) };
  }
}
