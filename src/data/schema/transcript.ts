/** Conversations written out as text, as in Anthropic's hh-rlhf: "\n\nHuman: …\n\nAssistant: …". */
import type { ChatMessage } from '../types';

const TURN = /(?:^|\n\n)(Human|Assistant|System):[ \t]?/g;

export function isTranscript(text: string): boolean {
  return /^\s*(Human|System):/.test(text) && /\n\nAssistant:/.test(text);
}

/** Turns of a transcript, each without the blank space around it. */
export function readTranscript(text: string): ChatMessage[] {
  const marks = [...text.trimStart().matchAll(TURN)];
  return marks.map((mark, i) => {
    const from = mark.index + mark[0].length;
    const name = mark[1].toLowerCase();
    return {
      role: name === 'human' ? 'user' : name,
      content: text
        .trimStart()
        .slice(from, marks[i + 1]?.index)
        .trim(),
    };
  });
}
