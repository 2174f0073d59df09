/** How Chromium is started for measurements. */

export const GPU_ARGS = [
  '--ignore-gpu-blocklist',
  '--enable-features=Vulkan',
  '--use-angle=vulkan',
  '--disable-vulkan-surface',
];
export const SOFTWARE_ARGS = ['--use-webgpu-adapter=swiftshader'];
export const QUIET_ARGS = ['--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking'];
