/** The tokenised pairs of a run as tensors, so that it can go on without the file that they were read from. */
import type { TokenizedPair } from '../data/types';
import { bytesOf, type NamedTensor } from '../formats/tensor-file';
import { sha256Hex } from '../storage/sha256';
import { RunError } from './errors';

export interface RunPairs {
  train: readonly TokenizedPair[];
  eval: readonly TokenizedPair[];
}

const ROLES = ['train', 'eval'] as const;
const ANSWERS = ['chosen', 'rejected'] as const;
const IGNORED = -100;

/** Tokens before the answer: those that no label is for. */
function promptLength(pair: TokenizedPair, answer: (typeof ANSWERS)[number]): number {
  const [ids, labels] = [pair[`${answer}_input_ids`], pair[`${answer}_labels`]];
  const first = labels.findIndex((label) => label !== IGNORED);
  const length = first < 0 ? labels.length : first;
  for (let i = length; i < ids.length; i++) if (labels[i] !== ids[i]) throw new RangeError('labels other than ids');
  return length;
}

/** For each side and answer: `.ids` [tokens], all sequences end to end, and `.lengths` [pairs, 2]: whole, and prompt. */
export function pairTensors(pairs: RunPairs): NamedTensor[] {
  return ROLES.flatMap((role) =>
    ANSWERS.flatMap((answer) => {
      const ids = Uint32Array.from(pairs[role].flatMap((pair) => pair[`${answer}_input_ids`]));
      const lengths = Uint32Array.from(
        pairs[role].flatMap((pair) => [pair[`${answer}_input_ids`].length, promptLength(pair, answer)]),
      );
      const name = `pairs.${role}.${answer}`;
      return [
        { name: `${name}.ids`, dtype: 'U32' as const, shape: [ids.length], bytes: bytesOf(ids) },
        { name: `${name}.lengths`, dtype: 'U32' as const, shape: [lengths.length / 2, 2], bytes: bytesOf(lengths) },
      ];
    }),
  );
}

/** The inverse of {@link pairTensors}. @throws RunError `damaged-run` when tensors are missing */
export function pairsOf(tensors: ReadonlyMap<string, NamedTensor>): RunPairs {
  const words = (name: string): number[] => {
    const bytes = tensors.get(name)?.bytes;
    if (!bytes) throw new RunError('damaged-run', `The run's pairs are not whole: ${name} is missing. Start it again.`);
    return [...new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)];
  };
  const side = (role: (typeof ROLES)[number]): TokenizedPair[] => {
    const [chosen, rejected] = ANSWERS.map((answer) => {
      const ids = words(`pairs.${role}.${answer}.ids`);
      const lengths = words(`pairs.${role}.${answer}.lengths`);
      let at = 0;
      return Array.from({ length: lengths.length / 2 }, (_, i) => {
        const input = ids.slice(at, at + lengths[2 * i]);
        at += lengths[2 * i];
        return { input, labels: input.map((id, k) => (k < lengths[2 * i + 1] ? IGNORED : id)) };
      });
    });
    return chosen.map(({ input, labels }, i) => ({
      chosen_input_ids: input,
      chosen_labels: labels,
      rejected_input_ids: rejected[i].input,
      rejected_labels: rejected[i].labels,
    }));
  };
  return { train: side('train'), eval: side('eval') };
}

/** SHA-256 over the tensors of {@link pairTensors}. */
export async function pairsFingerprint(tensors: readonly NamedTensor[]): Promise<string> {
  const hashes = await Promise.all(tensors.map(async ({ name, bytes }) => `${name} ${await sha256Hex(bytes)}\n`));
  return sha256Hex(new TextEncoder().encode(hashes.join('')));
}
