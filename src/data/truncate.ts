/**
 * Where a tokenised pair is cut so that it fits `max_length` (spec 2.5).
 *
 * Nothing is copied here: a cut names what stays, so that a view can show what goes.
 */
import type { HParams } from '../train/hparams';

/** One sequence before cutting: BOS is part of the prompt, EOS part of the answer. */
export interface Side {
  prompt: readonly number[];
  answer: readonly number[];
}

/** What stays of one sequence. */
export interface Cut {
  /** Leading prompt tokens that stay although the start is cut: 1 when BOS is kept, else 0. */
  promptHead: number;
  /** Kept besides the head: prompt[promptBegin .. promptEnd). */
  promptBegin: number;
  promptEnd: number;
  /** Kept: answer[0 .. answerEnd) ... */
  answerEnd: number;
  /** ... and this many of its last tokens: 1 when EOS is kept after a cut, else 0. */
  answerTail: number;
}

export type TruncationSettings = Pick<HParams, 'truncation' | 'truncation_mode' | 'max_length' | 'max_prompt_length'>;

export function keptPrompt(side: Side, cut: Cut): number[] {
  return [...side.prompt.slice(0, cut.promptHead), ...side.prompt.slice(cut.promptBegin, cut.promptEnd)];
}

export function keptAnswer(side: Side, cut: Cut): number[] {
  const { answer } = side;
  return [...answer.slice(0, cut.answerEnd), ...answer.slice(answer.length - cut.answerTail)];
}

export function promptLength(cut: Cut): number {
  return cut.promptHead + cut.promptEnd - cut.promptBegin;
}

/** Whether the token at this place of prompt and answer, laid end to end, stays. */
export function tokenKept(side: Side, cut: Cut, index: number): boolean {
  const at = index - side.prompt.length;
  if (at < 0) return index < cut.promptHead || (index >= cut.promptBegin && index < cut.promptEnd);
  return at < cut.answerEnd || at >= side.answer.length - cut.answerTail;
}

/** True when anything of the sequence is lost. */
export function isCut(side: Side, cut: Cut): boolean {
  return promptLength(cut) < side.prompt.length || cut.answerEnd + cut.answerTail < side.answer.length;
}

function whole(side: Side): Cut {
  return { promptHead: 0, promptBegin: 0, promptEnd: side.prompt.length, answerEnd: side.answer.length, answerTail: 0 };
}

/** Length of Python's `list[:end]`: a negative end counts from the back. */
function sliceEnd(length: number, end: number): number {
  return end < 0 ? Math.max(0, length + end) : Math.min(length, end);
}

/** TRL up to 0.27: the longer answer decides for both, and an over-long prompt drops to max_prompt_length. */
function classic(sides: readonly Side[], cuts: Cut[], longer: number, settings: TruncationSettings): void {
  const { max_length, max_prompt_length, truncation_mode } = settings;
  sides.forEach(({ prompt }, i) => {
    if (prompt.length + longer <= max_length) return;
    if (truncation_mode === 'keep_start') cuts[i].promptEnd = sliceEnd(prompt.length, max_prompt_length);
    // Python's [-0:] is the whole list.
    else cuts[i].promptBegin = max_prompt_length === 0 ? 0 : Math.max(0, prompt.length - max_prompt_length);
  });
  sides.forEach(({ answer }, i) => {
    if (promptLength(cuts[i]) + longer <= max_length) return;
    cuts[i].answerEnd = sliceEnd(answer.length, max_length - max_prompt_length);
  });
}

/** TRL from 0.28 on: the prompt is never cut and the answer's limit subtracts the wrong length (trl#6548). */
function trl1(sides: readonly Side[], cuts: Cut[], longer: number, settings: TruncationSettings): void {
  sides.forEach(({ prompt, answer }, i) => {
    if (prompt.length + longer <= settings.max_length) return;
    cuts[i].answerEnd = sliceEnd(answer.length, settings.max_length - longer);
  });
}

/** The repair proposed in trl#6588: the prompt is never cut, each answer gets what is left. */
function independent(sides: readonly Side[], cuts: Cut[], settings: TruncationSettings): void {
  sides.forEach(({ prompt, answer }, i) => {
    cuts[i].answerEnd = Math.min(answer.length, Math.max(0, settings.max_length - prompt.length));
  });
}

/**
 * A budget per answer. The prompt gives way first, by no more than is needed and never below max_prompt_length, keeping
 * BOS and its end; it gives way alike on both sides, so that the pair still shares it. Then each answer is cut to what
 * is left, and a cut answer still ends in EOS.
 */
function sane(sides: readonly Side[], cuts: Cut[], longer: number, settings: TruncationSettings, ids: SaneIds): void {
  const { max_length, max_prompt_length } = settings;
  const room = Math.max(max_length - longer, max_prompt_length, 1);
  sides.forEach(({ prompt, answer }, i) => {
    const cut = cuts[i];
    if (prompt.length > room) {
      cut.promptHead = ids.bos !== null && prompt[0] === ids.bos ? 1 : 0;
      cut.promptBegin = prompt.length - (room - cut.promptHead);
    }
    const budget = Math.max(0, max_length - promptLength(cut));
    if (answer.length <= budget) return;
    cut.answerTail = budget > 0 && ids.eos !== null && answer[answer.length - 1] === ids.eos ? 1 : 0;
    cut.answerEnd = budget - cut.answerTail;
  });
}

export interface SaneIds {
  bos: number | null;
  eos: number | null;
}

/** Cuts of the chosen and the rejected sequence, in the order given. */
export function truncatePair(sides: readonly [Side, Side], settings: TruncationSettings, ids: SaneIds): [Cut, Cut] {
  const cuts: [Cut, Cut] = [whole(sides[0]), whole(sides[1])];
  const longer = Math.max(sides[0].answer.length, sides[1].answer.length);
  switch (settings.truncation) {
    case 'none':
      break;
    case 'classic':
      classic(sides, cuts, longer, settings);
      break;
    case 'trl1':
      trl1(sides, cuts, longer, settings);
      break;
    case 'independent':
      independent(sides, cuts, settings);
      break;
    case 'sane':
      sane(sides, cuts, longer, settings, ids);
      break;
  }
  return cuts;
}
