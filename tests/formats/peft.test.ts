import { describe, expect, it } from 'vitest';
import { memorySource } from '../../src/formats/bytes';
import {
  AdapterError,
  baseWeightName,
  loraKey,
  loraScale,
  parseAdapterConfig,
  parseBaseWeightName,
  parseLoraKey,
  readAdapter,
  writeAdapter,
  writeAdapterConfig,
} from '../../src/formats/peft';
import { serializeSafetensorsHeader } from '../../src/formats/safetensors';
import { fixture } from '../support/files';

const golden = (name: string) => fixture(`tests/goldens/stories-260k-lora/${name}`);

describe('adapter_model.safetensors', () => {
  it('reads a PEFT adapter and writes the same bytes', async () => {
    const bytes = await golden('adapter_model.safetensors');
    const adapter = await readAdapter(memorySource(bytes));
    expect(adapter.size).toBe(5 * 7 * 2);
    const key = loraKey({ layer: 3, module: 'down_proj', part: 'A' });
    expect(key).toBe('base_model.model.model.layers.3.mlp.down_proj.lora_A.weight');
    expect(adapter.get(key)?.shape).toEqual([8, 172]);
    expect(Buffer.compare(writeAdapter([...adapter.values()].reverse()), bytes)).toBe(0);
  });

  it('has keys for DoRA magnitudes, and reads every key back', async () => {
    const name = { layer: 12, module: 'o_proj', part: 'magnitude' } as const;
    expect(loraKey(name)).toBe('base_model.model.model.layers.12.self_attn.o_proj.lora_magnitude_vector');
    expect(parseLoraKey(loraKey(name))).toEqual(name);
    const tensors = [{ name: loraKey(name), shape: [4], values: Float32Array.of(1, 2, 3, 4) }];
    expect([...(await readAdapter(memorySource(writeAdapter(tensors)))).values()]).toEqual(tensors);
  });

  it('knows which names are not its own', () => {
    expect(parseLoraKey('base_model.model.model.layers.0.mlp.q_proj.lora_A.weight')).toBeNull();
    expect(parseLoraKey('base_model.model.model.embed_tokens.weight')).toBeNull();
    expect(parseLoraKey('model.layers.0.self_attn.q_proj.lora_A.weight')).toBeNull();
    expect(parseLoraKey(`${loraKey({ layer: 0, module: 'q_proj', part: 'A' })}.x`)).toBeNull();
    expect(parseBaseWeightName(baseWeightName(9, 'up_proj'))).toEqual({ layer: 9, module: 'up_proj' });
    expect(parseBaseWeightName('model.layers.0.input_layernorm.weight')).toBeNull();
  });

  it('refuses foreign tensors and dtypes, by name', async () => {
    const file = (name: string, dtype: 'F32' | 'BF16') =>
      serializeSafetensorsHeader([{ name, dtype, shape: [0] }]).header;
    const read = (bytes: Uint8Array) => readAdapter(memorySource(bytes));
    await expect(read(file('lm_head.weight', 'F32'))).rejects.toThrow(AdapterError);
    const key = loraKey({ layer: 0, module: 'q_proj', part: 'B' });
    await expect(read(file(key, 'BF16'))).rejects.toMatchObject({ code: 'unsupported-adapter', tensor: key });
    expect(() => writeAdapter([{ name: key, shape: [3], values: new Float32Array(2) }])).toThrow(/do not fill/);
  });
});

describe('adapter_config.json', () => {
  it('reads PEFT’s and writes the same text', async () => {
    const text = new TextDecoder().decode(await golden('adapter_config.json'));
    const config = parseAdapterConfig(text);
    expect(config).toMatchObject({ r: 8, lora_alpha: 16, use_dora: false, use_rslora: false });
    expect(writeAdapterConfig(config)).toBe(text);
    expect(parseAdapterConfig(writeAdapterConfig({ ...config, use_dora: true, lora_dropout: 0.05 }))).toEqual({
      ...config,
      use_dora: true,
      lora_dropout: 0.05,
    });
  });

  it('takes the least that PEFT needs', () => {
    const config = parseAdapterConfig('{"peft_type":"LORA","r":4,"lora_alpha":8,"target_modules":["q_proj"]}');
    expect([loraScale(config), loraScale({ ...config, use_rslora: true })]).toEqual([2, 4]);
  });

  it.each([
    ['{', /not JSON/],
    ['null', /not an object/],
    ['{"peft_type":"IA3"}', /IA3/],
    ['{"peft_type":"LORA","r":0,"lora_alpha":8,"target_modules":[]}', /r is 0/],
    ['{"peft_type":"LORA","r":4,"lora_alpha":8,"target_modules":"all-linear"}', /target_modules/],
    ['{"peft_type":"LORA","r":4,"lora_alpha":8,"target_modules":["lm_head"]}', /lm_head/],
    ['{"peft_type":"LORA","r":4,"lora_alpha":8,"target_modules":[],"rank_pattern":{"q":2}}', /rank_pattern/],
    ['{"peft_type":"LORA","r":4,"lora_alpha":8,"target_modules":[],"bias":"all"}', /bias/],
  ])('refuses %s', (text, message) => {
    expect(() => parseAdapterConfig(text)).toThrow(message);
    expect(() => parseAdapterConfig(text)).toThrow(AdapterError);
  });
});
