/** Rows, pairs and the reasons why a row is not used. No GPU, no DOM. */

/** One preference row as text. `prompt + chosen` and `prompt + rejected` are what gets tokenised. */
export interface PreferenceRow {
  prompt: string;
  chosen: string;
  rejected: string;
}

/** One turn of a conversation. */
export interface ChatMessage {
  role: string;
  content: string;
}

/** Two answers to one conversation, each one turn or more. */
export interface ChatPair {
  prompt: ChatMessage[];
  chosen: ChatMessage[];
  rejected: ChatMessage[];
}

/**
 * One preference as its file holds it, before a prompt format is applied. The three texts are what a list shows.
 *
 * `text`: the prompt is text to be continued, used as it stands. `request`: the prompt is what somebody asks, without
 * the separators that a model expects. `chat`: the turns are in `chat`.
 */
export interface SourceRow extends PreferenceRow {
  form: 'text' | 'request' | 'chat';
  /** Present when `form` is "chat". */
  chat?: ChatPair;
  /** Present when the file keeps an instruction and its input apart, for templates that do so too. */
  parts?: { instruction: string; input: string };
  /** As in `RowProblem`. */
  line: number;
}

/** A tokenised pair, in the layout of TRL's tokenize_row (labels: -100 over the prompt). */
export interface TokenizedPair {
  chosen_input_ids: number[];
  chosen_labels: number[];
  rejected_input_ids: number[];
  rejected_labels: number[];
}

/** A row that cannot be used, and why. */
export interface RowProblem {
  /** 1-based line of the file (JSONL), or 1-based index of the row where lines mean nothing. */
  line: number;
  /** Stable name of the kind of problem, for counts and tests. */
  reason:
    | 'not-json'
    | 'line-too-long'
    | 'not-an-object'
    | 'missing-field'
    | 'wrong-type'
    | 'empty-answer'
    | 'chosen-equals-rejected'
    | 'tie'
    | 'duplicate'
    | 'bad-conversation'
    | 'not-text'
    | 'no-answer-tokens'
    | 'prompt-mismatch';
  /** A sentence for people. */
  message: string;
}
