/** Solved examples before each question, drawn from the task's other items. */
import { MersenneTwister } from '../data/random';
import { EvaluationError } from './errors';
import type { EvalItem, EvalTask } from './items';

/** An item with its right answer, as an example. */
function solved(item: EvalItem): string {
  if (item.kind === 'answer') return `${item.prompt} ${item.target}`;
  if (item.kind === 'pair') return '';
  const { context, continuation } = item.choices[item.gold];
  return context + continuation;
}

/** Distinct numbers below `count` other than `own`, in the order drawn. */
function draw(count: number, shots: number, own: number, random: MersenneTwister): number[] {
  const drawn: number[] = [];
  while (drawn.length < shots) {
    const at = random.nextU32() % count;
    if (at !== own && !drawn.includes(at)) drawn.push(at);
  }
  return drawn;
}

/**
 * The task with `shots` examples before every question: description, examples and question with a blank line between.
 * One generator draws for all items in order, so a seed gives the same prompts again.
 * @throws EvaluationError `bad-setting` where the task has no context to put them before, or too few items
 */
export function withShots(task: EvalTask, shots: number, seed: number): EvalTask {
  const { items, description } = task;
  if (!(Number.isInteger(shots) && shots >= 0)) {
    throw new EvaluationError('bad-setting', 'The number of examples must be a whole number of at least 0.');
  }
  if (shots === 0 && description === '') return task;
  if (items.some((item) => item.kind === 'pair' || (item.kind === 'choice' && item.choices[0].context === ''))) {
    throw new EvaluationError(
      'bad-setting',
      `${task.name} scores whole texts, which examples cannot precede. Set them to 0.`,
    );
  }
  if (items.length <= shots) {
    throw new EvaluationError(
      'bad-setting',
      `${task.name} has ${items.length} items, too few for ${shots} examples each.`,
    );
  }
  const random = new MersenneTwister(seed);
  const before = items.map((_, i) => {
    const examples = draw(items.length, shots, i, random).map((at) => `${solved(items[at])}\n\n`);
    return description + examples.join('');
  });
  return {
    ...task,
    items: items.map((item, i) => {
      if (item.kind === 'answer') return { ...item, prompt: before[i] + item.prompt };
      if (item.kind === 'pair') return item;
      return { ...item, choices: item.choices.map((c) => ({ ...c, context: before[i] + c.context })) };
    }),
  };
}
