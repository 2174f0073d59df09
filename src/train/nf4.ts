/** The `nf4` settings as options of loading a model. */
import type { QuantizeOptions } from '../model/quantize';
import type { Nf4Settings } from './hparams';

const DTYPES = { bfloat16: 'BF16', float16: 'F16', float32: 'F32' } as const;

/** Undefined when nothing is to be quantised. */
export function quantizeOptions(nf4: Nf4Settings): QuantizeOptions | undefined {
  if (!nf4.enabled) return undefined;
  const { double_quant: doubleQuant, source_dtype, skip_modules: skipModules } = nf4;
  return { doubleQuant, sourceDtype: DTYPES[source_dtype], skipModules };
}
