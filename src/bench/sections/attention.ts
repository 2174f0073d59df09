/** Attention's kernels at the head shapes of Llama-3.2-1B and Llama-3-8B, with and without a prompt in common. */
import { ATTENTION_KERNELS, attentionErrors, attentionTimes, uneven, wholeCases } from '../attention';
import type { Section } from '../section';

export const attention: Section = async ({ gpu, bench, quick, print, show, report }) => {
  const profile = { ...gpu.profile, direct: false };
  const direct = { ...profile, direct: true };
  const most = profile.matrix ? 5e-3 : 1e-5;
  const errors: { name: string; error: number }[] = [];
  for (const c of wholeCases(quick)) {
    for (const kernel of ATTENTION_KERNELS) {
      const [, error] = await attentionErrors(bench, uneven(c), kernel, [direct, profile]);
      errors.push({ name: `${c.name} ${kernel}`, error });
      print(`${c.name} ${kernel}: off by ${error.toExponential(1)} of the largest value`);
      if (!(error < most)) throw new Error(`${c.name} ${kernel} is off`);
      show(await attentionTimes(bench, c, kernel, [['', profile]]));
    }
  }
  report.attentionErrors = errors;
};
