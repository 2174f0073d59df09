/**
 * Dawn's WebGPU (npm `webgpu`) on a software Vulkan driver where one is found, so that results do not depend on the
 * machine's GPU. Needs a process of its own (Vitest's `forks` pool): the driver is named by an environment variable.
 */
import { existsSync } from 'node:fs';
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

// Dawn's instance lives as long as the object create() returns: once that is collected, its devices crash the process.
const kept = globalThis as typeof globalThis & { __dawn?: Promise<GPU> };

/** Dawn's `navigator.gpu`, one per process. WebGPU's constants (GPUBufferUsage and so on) are global afterwards. */
export function dawn(): Promise<GPU> {
  kept.__dawn ??= start();
  return kept.__dawn;
}

async function start(): Promise<GPU> {
  if (!process.env.VK_ICD_FILENAMES && !process.env.VK_DRIVER_FILES) {
    const driver = SOFTWARE_DRIVERS.find((path) => existsSync(path));
    if (driver) process.env.VK_ICD_FILENAMES = driver;
  }
  const driver = process.env.VK_ICD_FILENAMES ?? process.env.VK_DRIVER_FILES;
  if (driver) loadVulkanBeside(driver);
  const { create, globals } = await import('webgpu');
  Object.assign(globalThis, globals);
  return create(['enable-dawn-features=allow_unsafe_apis']);
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
