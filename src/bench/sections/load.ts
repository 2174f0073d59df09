/** A model's way to the GPU: MB/s, the largest JavaScript memory meanwhile, and how long the first steps take. */
import { type LoadOptions, loadModel } from '../../model/load';
import type { Section } from '../section';
import { firstSteps } from '../step';

const SAMPLE_MS = 5;

export const load: Section = async ({ gpu, model, quick, heapBytes, print, report }) => {
  if (!model) {
    print('load: left out, no --model is named');
    return;
  }
  let heapPeak = 0;
  const sample = () => {
    heapPeak = Math.max(heapPeak, heapBytes() ?? 0);
  };
  const timer = setInterval(sample, SAMPLE_MS);
  const heapBefore = heapBytes();
  let bytes = 0;
  const options: LoadOptions = model.quantize ? { quantize: 'nf4' } : {};
  const began = performance.now();
  const open = await loadModel(
    gpu,
    model.files,
    (_, done) => {
      bytes = done;
      sample();
    },
    options,
  );
  await open.cmd.finish();
  await gpu.device.queue.onSubmittedWorkDone();
  const loadMs = performance.now() - began;
  const loadHeapPeak = heapPeak;
  const mb = (n: number) => `${(n / 1e6).toFixed(0)} MB`;
  print(
    `load ${model.name}${model.quantize ? ', quantised on the way' : ''}: ${mb(bytes)} in ${(loadMs / 1000).toFixed(2)} s, ` +
      `${mb(bytes / (loadMs / 1000))}/s; JavaScript memory at most ${mb(loadHeapPeak)}`,
  );
  const pair = { pairs: quick ? 1 : 2, length: quick ? 128 : 1024, prompt: quick ? 64 : 512 };
  const steps = await firstSteps(open, pair, quick ? 1 : 5);
  clearInterval(timer);
  const weightBytes = open.weightMemory.bytes;
  open.weightMemory.destroy();
  open.cmd.destroy();
  const result = {
    model: model.name,
    quantized: model.quantize,
    readBytes: bytes,
    weightBytes,
    runBytes: steps.runBytes,
    loadSeconds: loadMs / 1000,
    bytesPerSecond: bytes / (loadMs / 1000),
    heapBefore,
    loadHeapPeak,
    heapPeak,
    firstStepSeconds: (loadMs + steps.ends[0]) / 1000,
    stepSeconds: steps.ends.map((end, i) => (end - (steps.ends[i - 1] ?? 0)) / 1000),
    losses: steps.losses,
    pair,
  };
  report.load = result;
  print(
    `  first step after ${result.firstStepSeconds.toFixed(2)} s, then ${result.stepSeconds
      .slice(1)
      .map((s) => s.toFixed(2))
      .join(', ')} s; loss ${steps.losses.map((x) => x.toFixed(3)).join(', ')}; ` +
      `${mb(weightBytes)} of weights and ${mb(steps.runBytes)} of the run on the GPU; JavaScript memory at most ${mb(heapPeak)}`,
  );
};
