/**
 * Dawn's WebGPU under Node (npm `webgpu`). It runs on the Vulkan driver that VK_DRIVER_FILES or VK_ICD_FILENAMES names,
 * else on a GPU's own driver where one is installed, else on a software driver. With `software` (the tests) it never
 * takes a GPU that nobody named, so that results do not depend on the machine.
 */
import { existsSync, readdirSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';

/** Chromium's SwiftShader, a system one, then Mesa's lavapipe. */
const SOFTWARE_DRIVERS = [
  '/usr/lib/chromium/vk_swiftshader_icd.json',
  '/usr/lib/x86_64-linux-gnu/chromium/vk_swiftshader_icd.json',
  '/usr/lib/x86_64-linux-gnu/vk_swiftshader_icd.json',
  '/opt/google/chrome/vk_swiftshader_icd.json',
  '/usr/share/vulkan/icd.d/lvp_icd.x86_64.json',
  '/usr/share/vulkan/icd.d/lvp_icd.json',
];

const SOFTWARE_NAMES = /lvp|swiftshader/;

const HARDWARE_FOLDERS = ['/usr/share/vulkan/icd.d', '/etc/vulkan/icd.d'];

// Dawn's instance lives as long as the object create() returns: once that is collected, its devices crash the process.
const kept = globalThis as typeof globalThis & { __dawn?: Promise<GPU> };

export interface DawnOptions {
  software?: boolean;
  /** Dawn's toggles, e.g. vulkan_enable_f16_on_nvidia. */
  toggles?: readonly string[];
  /** Toggles to turn off, e.g. timestamp_quantization. */
  disabledToggles?: readonly string[];
}

/** Dawn's `navigator.gpu`, one per process. WebGPU's constants (GPUBufferUsage and so on) are global afterwards. */
export function dawn(options: DawnOptions = {}): Promise<GPU> {
  kept.__dawn ??= start(options);
  return kept.__dawn;
}

/** A Vulkan driver other than the software ones is installed. */
function hasHardwareDriver(): boolean {
  return HARDWARE_FOLDERS.some(
    (folder) => existsSync(folder) && readdirSync(folder).some((f) => f.endsWith('.json') && !SOFTWARE_NAMES.test(f)),
  );
}

async function start({ software = false, toggles = [], disabledToggles = [] }: DawnOptions): Promise<GPU> {
  const named = process.env.VK_ICD_FILENAMES || process.env.VK_DRIVER_FILES;
  if (!named && process.platform === 'linux' && (software || !hasHardwareDriver())) {
    const driver = SOFTWARE_DRIVERS.find((path) => existsSync(path));
    if (driver) process.env.VK_ICD_FILENAMES = driver;
  }
  const driver = process.env.VK_ICD_FILENAMES || process.env.VK_DRIVER_FILES;
  if (driver) loadVulkanBeside(driver);
  if (driver && SOFTWARE_NAMES.test(driver)) pollPatiently();
  const { create, globals } = await import('webgpu');
  Object.assign(globalThis, globals);
  const flags = [`enable-dawn-features=${['allow_unsafe_apis', ...toggles].join(',')}`];
  if (disabledToggles.length) flags.push(`disable-dawn-features=${disabledToggles.join(',')}`);
  return create(flags);
}

/**
 * Dawn asks whether the GPU is done by setImmediate, twenty thousand times a second, which takes a whole core from a driver that
 * computes on the CPU. Callbacks like its own, native and nameless, wait a millisecond instead.
 */
function pollPatiently(): void {
  const { setImmediate: immediately, setTimeout: later } = globalThis;
  const isLikeDawns = (callback: unknown) => String(callback) === 'function () { [native code] }';
  const patient = (callback: (...args: unknown[]) => void, ...args: unknown[]) =>
    isLikeDawns(callback) ? later(callback, 1, ...args) : immediately(callback, ...args);
  globalThis.setImmediate = Object.defineProperties(
    patient,
    Object.getOwnPropertyDescriptors(immediately),
  ) as unknown as typeof setImmediate;
}

/**
 * Chromium carries the Vulkan loader beside its driver, where the dynamic linker does not look. Once a library of that
 * name is in the process, Dawn's own dlopen("libvulkan.so.1") finds it. A system without one there uses its own.
 */
function loadVulkanBeside(driver: string): void {
  const loader = join(dirname(driver), 'libvulkan.so.1');
  if (!existsSync(loader)) return;
  const keepLoaded = 0x1000; // RTLD_NODELETE, which Node does not name
  try {
    process.dlopen({ exports: {} }, loader, constants.dlopen.RTLD_NOW | keepLoaded);
  } catch {
    // Always "Module did not self-register": it is no Node addon, and by now it is loaded.
  }
}
