/** Rows, pairs and the reasons why a row is not used. No GPU, no DOM. */

/** One preference row as text. `prompt + chosen` and `prompt + rejected` are what gets tokenised. */
export interface PreferenceRow {
  prompt: string;
  chosen: string;
  rejected: string;
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
    | 'not-an-object'
    | 'missing-field'
    | 'wrong-type'
    | 'empty-answer'
    | 'chosen-equals-rejected'
    | 'not-text'
    | 'no-answer-tokens'
    | 'prompt-mismatch';
  /** A sentence for people. */
  message: string;
}
