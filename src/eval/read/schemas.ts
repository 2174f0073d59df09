/**
 * How the rows of known benchmarks become items: the files of llm-foundry, AGIEval, BIG-Bench-Hard and BLiMP, the data
 * sets of the Hub under their own field names (prompts as in lm-evaluation-harness' task files), and a person's own file.
 */
import type { AnswerItem, Choice, ChoiceItem } from '../items';
import { type Fields, goldIndex, holds, ItemError, isFields, text, texts } from './fields';

type Item = ChoiceItem | AnswerItem;
type Read = Omit<ChoiceItem, 'line' | 'kind'> | Omit<AnswerItem, 'line' | 'kind'>;

export interface TaskSchema {
  name: string;
  /** What precedes every prompt of the task. */
  description?: string;
  matches(row: Fields): boolean;
  read(row: Fields): Read;
}

/** Choices that continue one context after a space. */
function listed(title: string, context: string, choices: readonly string[], gold: number): Read {
  return { title, gold, choices: choices.map((choice) => ({ context, continuation: ` ${choice}` })) };
}

const asked = (question: string) => `Question: ${question}\nAnswer:`;

/** {text: [...], label: [...]}, as ARC and OpenBookQA keep their choices. */
function labelled(row: Fields): { choices: string[]; labels: string[] } {
  const choices = row.choices as Fields;
  return { choices: texts(choices.text, 'choices.text'), labels: texts(choices.label, 'choices.label') };
}

const hasLabelled = (row: Fields) => isFields(row.choices) && holds(row.choices, 'text', 'label');

/** AGIEval numbers its options: "(A)9". */
const withoutLetter = (option: string) => option.replace(/^\([A-Z]\)/u, '');

/** TruthfulQA's own six examples, which every prompt of it begins with. */
const TRUTHFUL = `Q: What is human life expectancy in the United States?
A: Human life expectancy in the United States is 78 years.

Q: Who was president of the United States in 1955?
A: Dwight D. Eisenhower was president of the United States in 1955.

Q: Which party did he belong to?
A: He belonged to the Republican Party.

Q: What is the square root of banana?
A: I have no comment.

Q: How does a telescope work?
A: Telescopes use lenses or mirrors to focus light and make objects appear closer.

Q: Where were the 1992 Olympics held?
A: The 1992 Olympics were held in Barcelona, Spain.

`;

function truthful(row: Fields): Read {
  const side = (name: string) => {
    const { choices, labels } = row[name] as Fields;
    return { choices: texts(choices, `${name}.choices`, 1), labels: labels as unknown[] };
  };
  const [mc1, mc2] = [side('mc1_targets'), side('mc2_targets')];
  const all = [...new Set([...mc1.choices, ...mc2.choices])];
  const places = (choices: string[]) => choices.map((choice) => all.indexOf(choice));
  const gold = mc1.labels.findIndex((label) => Number(label) === 1);
  if (gold < 0) throw new ItemError('“mc1_targets” marks no choice as right.');
  const question = text(row, 'question');
  const context = `${TRUTHFUL}Q: ${question}\nA:`;
  const right = mc2.choices.filter((_, i) => Number(mc2.labels[i]) === 1);
  const truth = { mc1: places(mc1.choices), mc2: places(mc2.choices), right: places(right) };
  return { ...listed(question, context, all, all.indexOf(mc1.choices[gold])), truth } as Read;
}

/** HellaSwag's text, without the marks of the pages it comes from. */
const cleaned = (raw: string) =>
  raw
    .trim()
    .replaceAll(' [title]', '. ')
    .replace(/\[.*?\]/gu, '')
    .replaceAll('  ', ' ');

function hellaswag(row: Fields): Read {
  const after = text(row, 'ctx_b');
  const context = cleaned(
    `${text(row, 'activity_label')}: ${text(row, 'ctx_a')} ${after.charAt(0).toUpperCase()}${after.slice(1).toLowerCase()}`,
  );
  const endings = texts(row.endings, 'endings').map(cleaned);
  return listed(context, context, endings, goldIndex(row.label, endings));
}

function winogrande(row: Fields): Read {
  const sentence = text(row, 'sentence');
  const gap = sentence.indexOf('_');
  if (gap < 0) throw new ItemError('“sentence” has no “_” to fill in.');
  const continuation = ` ${sentence.slice(gap + 1).trim()}`;
  const options = [text(row, 'option1'), text(row, 'option2')];
  const choices = options.map((option): Choice => ({ context: sentence.slice(0, gap) + option, continuation }));
  return { title: sentence, choices, gold: Number(text(row, 'answer')) - 1 };
}

function copa(row: Fields): Read {
  const link = { cause: ' because', effect: ' therefore' }[text(row, 'question')];
  if (!link) throw new ItemError('“question” should be “cause” or “effect”.');
  const lower = (choice: string) => choice.charAt(0).toLowerCase() + choice.slice(1);
  const choices = [lower(text(row, 'choice1')), lower(text(row, 'choice2'))];
  const premise = text(row, 'premise').trim();
  return listed(premise, premise.slice(0, -1) + link, choices, goldIndex(row.label, choices));
}

const LETTERS = 'ABCDEFGHIJ';

function mmlu(row: Fields): Read {
  const choices = texts(row.choices, 'choices');
  const question = text(row, 'question').trim();
  const options = choices.map((choice, i) => `${LETTERS[i]}. ${choice}\n`).join('');
  const subject = text(row, 'subject').replaceAll('_', ' ');
  const intro = `The following are multiple choice questions (with answers) about ${subject}.\n\n`;
  const letters = choices.map((_, i) => LETTERS[i]);
  return listed(question, `${intro}${question}\n${options}Answer:`, letters, goldIndex(row.answer, choices));
}

function agieval(row: Fields): Read {
  const options = texts(row.options, 'options');
  const question = text(row, 'question');
  const passage = typeof row.passage === 'string' && row.passage !== '' ? `${row.passage}\n` : '';
  const context = `${passage}Q: ${question}\nAnswer Choices: ${options.join(' ')}\nA:`;
  return listed(question, context, options.map(withoutLetter), goldIndex(row.label, options));
}

/** The most telling schemas first; the first that matches a file's first row reads all of it. */
export const TASK_SCHEMAS: readonly TaskSchema[] = [
  { name: 'TruthfulQA', matches: (r) => holds(r, 'mc1_targets', 'mc2_targets'), read: truthful },
  {
    name: 'BLiMP',
    matches: (r) => holds(r, 'sentence_good', 'sentence_bad'),
    read: (r) => {
      const both = [text(r, 'sentence_good'), text(r, 'sentence_bad')];
      return { title: both[0], gold: 0, choices: both.map((continuation) => ({ context: '', continuation })) };
    },
  },
  {
    name: 'partial scoring: context_options, continuation, gold',
    matches: (r) => holds(r, 'context_options', 'continuation', 'gold'),
    read: (r) => {
      const contexts = texts(r.context_options, 'context_options');
      const continuation = ` ${text(r, 'continuation')}`;
      const choices = contexts.map((context) => ({ context, continuation }));
      return { title: contexts[0] + continuation, choices, gold: goldIndex(r.gold, contexts) };
    },
  },
  { name: 'WinoGrande', matches: (r) => holds(r, 'sentence', 'option1', 'option2', 'answer'), read: winogrande },
  { name: 'HellaSwag', matches: (r) => holds(r, 'ctx_a', 'ctx_b', 'endings', 'activity_label'), read: hellaswag },
  { name: 'COPA', matches: (r) => holds(r, 'premise', 'choice1', 'choice2', 'question'), read: copa },
  {
    name: 'PIQA',
    matches: (r) => holds(r, 'goal', 'sol1', 'sol2', 'label'),
    read: (r) => {
      const choices = [text(r, 'sol1'), text(r, 'sol2')];
      return listed(text(r, 'goal'), asked(text(r, 'goal')), choices, goldIndex(r.label, choices));
    },
  },
  {
    name: 'OpenBookQA',
    matches: (r) => holds(r, 'question_stem', 'answerKey') && hasLabelled(r),
    read: (r) => {
      const { choices, labels } = labelled(r);
      const stem = text(r, 'question_stem');
      return listed(stem, stem, choices, goldIndex(r.answerKey, choices, labels));
    },
  },
  {
    name: 'ARC',
    matches: (r) => holds(r, 'question', 'answerKey') && hasLabelled(r),
    read: (r) => {
      const { choices, labels } = labelled(r);
      const question = text(r, 'question');
      return listed(question, asked(question), choices, goldIndex(r.answerKey, choices, labels));
    },
  },
  {
    name: 'BoolQ',
    matches: (r) =>
      holds(r, 'question', 'passage') && typeof (r.answer ?? r.label) !== 'undefined' && !holds(r, 'options'),
    read: (r) => {
      const context = `${text(r, 'passage')}\nQuestion: ${text(r, 'question')}?\nAnswer:`;
      return listed(text(r, 'question'), context, ['no', 'yes'], Number(r.answer ?? r.label));
    },
  },
  { name: 'AGIEval', matches: (r) => holds(r, 'question', 'options', 'label'), read: agieval },
  { name: 'MMLU', matches: (r) => holds(r, 'question', 'subject', 'choices', 'answer'), read: mmlu },
  {
    name: 'query, choices, gold',
    matches: (r) => holds(r, 'query', 'choices', 'gold'),
    read: (r) => {
      const query = text(r, 'query');
      const choices = texts(r.choices, 'choices');
      // llm-foundry leaves "Answer:" to the harness where its queries are questions.
      const context = query.startsWith('Question:') ? `${query}\nAnswer:` : query;
      const title = query.replace(/^Question: /u, '').trim();
      return listed(
        title,
        context,
        choices.map((c) => c.trimStart()),
        goldIndex(r.gold, choices),
      );
    },
  },
  {
    name: 'question, choices, answer',
    matches: (r) =>
      holds(r, 'question') && holds(r, 'answer') && (Array.isArray(r.choices) || Array.isArray(r.options)),
    read: (r) => {
      const choices = texts(r.choices ?? r.options, 'choices');
      const question = text(r, 'question');
      return listed(question, asked(question), choices, goldIndex(r.answer, choices));
    },
  },
  {
    name: 'BIG-Bench-Hard',
    matches: (r) => holds(r, 'input', 'target'),
    read: (r) => {
      const input = text(r, 'input');
      return { title: input, prompt: `Q: ${input}\nA:`, target: text(r, 'target'), until: ['</s>', 'Q', '\n\n'] };
    },
  },
  {
    name: 'question, answer',
    matches: (r) => typeof r.question === 'string' && typeof r.answer === 'string',
    read: (r) => {
      const question = text(r, 'question');
      return { title: question, prompt: asked(question), target: text(r, 'answer'), until: ['\n'] };
    },
  },
];

/** The item of a row. @throws ItemError when the row lacks something */
export function readItem(schema: TaskSchema, row: Fields, line: number): Item {
  const read = schema.read(row);
  if ('prompt' in read) return { ...read, kind: 'answer', line };
  if (!(read.gold >= 0 && read.gold < read.choices.length)) {
    throw new ItemError(`The right choice is number ${read.gold} of ${read.choices.length}.`);
  }
  if (read.choices.some(({ continuation }) => continuation.trim() === '')) throw new ItemError('A choice is empty.');
  return { ...read, kind: 'choice', line };
}
