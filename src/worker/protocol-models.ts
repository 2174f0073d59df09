/** The part of the protocol that is about where models come from. */
import type { ChatmlTokenSource } from '../data/chatml-model';
import type { ModelOffer, ModelSummary } from './protocol';

/** Where a model comes from. */
export type ModelSource =
  | { kind: 'builtin'; id: string }
  /** A repository of the Hugging Face Hub; `revision` is a branch, tag or commit. */
  | { kind: 'hub'; repo: string; revision: string }
  /** A folder of any web server: config.json, tokenizer and safetensors files lie under this address. */
  | { kind: 'url'; url: string }
  /** A folder of the visitor's disk, read in place. The page has asked for the permission to read it. */
  | { kind: 'folder'; handle: FileSystemDirectoryHandle }
  /** The files of such a folder, where the browser gives no handle. */
  | { kind: 'files'; name: string; files: File[] };

/** A source together with what it is asked with. */
export interface ModelRequest {
  source: ModelSource;
  /** Of the Hugging Face Hub. It goes to the Hub's address and to no other, and is not stored. */
  token?: string;
}

/** A model of the Hub that is known to work. */
export interface CuratedModel {
  repo: string;
  title: string;
  /** e.g. "base" or "instruct". */
  variant: string;
  parameters: number;
  format: 'BF16' | 'NF4';
  /** About; the exact number comes with the listing. */
  downloadBytes: number;
  /** GPU memory of a run in 4 bits with the standard settings, one pair at a time. */
  memoryBytes: number;
  /** One asks the owner for access on the Hub first. */
  gated: boolean;
  license: string;
}

/** A source looked at before anything large is fetched. */
export interface ModelPreview {
  source: ModelSource;
  id: string;
  title: string;
  parameters: number;
  layers: number;
  hiddenSize: number;
  vocabSize: number;
  maxPositions: number;
  format: string;
  /** Its linear layers are in 16 or 32 bits and can be quantised to NF4 while loading. */
  quantizable: boolean;
  files: { name: string; bytes: number }[];
  totalBytes: number;
  storedBytes: number;
  /** The commit that is fetched; null where the source has none. */
  commit: string | null;
  /** The commit that the revision names by now, where the stored files are those of an earlier one. */
  newerCommit: string | null;
  license: string | null;
  gated: boolean;
  /** What vouches for the bytes: the source's own hashes, or only those taken as they came, or nothing (read in place). */
  checked: 'source' | 'arrival' | 'none';
  /** Bytes that the browser still grants; null where it does not say or nothing is stored. */
  freeBytes: number | null;
  /** Text of config.json, for estimates of memory. */
  config: string;
  /** A page about it. */
  page: string | null;
}

export interface ModelRequests {
  /**
   * Looks at a source without fetching weights. Rejects with the reason when it cannot be used: `unsupported-model`,
   * `unsupported-quantization`, `unsupported-repository`, `hub-no-access`, `hub-bad-token`, `hub-not-found` and others.
   */
  inspectModel: { args: ModelRequest; result: ModelPreview };
  /**
   * Has a model on the GPU, from storage where it is stored. With `chatml` it is opened with ChatML's tokens and template
   * (see data/chatml-model.ts); with `quantize` its 16-bit linear layers become NF4 on their way to the GPU.
   */
  loadModel: {
    args: ModelRequest & { chatml?: ChatmlTokenSource; quantize?: 'nf4' };
    result: ModelSummary;
  };
  /** Ends a load, which rejects with `paused`. What has come stays in storage, and the next load goes on from there. */
  pauseLoading: { args: Record<string, never>; result: null };
  deleteModel: { args: { id: string }; result: ModelOffer[] };
}
