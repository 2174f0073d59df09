/** Recording with nothing behind it, to know which kernels some work will use. */
import { Commands } from './commands';
import { type KernelSpec, kernelKey } from './kernels';

/** As much of a device as planning takes: buffers have sizes and no memory. */
export function standIn({ limits, features }: GPUDevice): GPUDevice {
  const device = {
    limits,
    features,
    queue: { writeBuffer() {} },
    createBuffer: ({ label, size, usage }: GPUBufferDescriptor) => ({ label, size, usage, destroy() {} }),
    pushErrorScope() {},
    popErrorScope: async () => null,
  };
  return device as unknown as GPUDevice;
}

/** Notes what it is asked to dispatch, and does nothing. */
export class Listing extends Commands {
  readonly specs = new Map<string, KernelSpec>();

  constructor(device: GPUDevice) {
    super(standIn(device));
  }

  override dispatch(spec: KernelSpec): void {
    this.specs.set(kernelKey(spec), spec);
  }
  override copy(): void {}
  override clear(): void {}
  override upload(): void {}
  override flush(): void {}
  override async breathe(): Promise<void> {}
}
