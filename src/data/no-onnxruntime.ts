/**
 * Stands in for onnxruntime in the site (vite.config.ts): of @huggingface/transformers only the tokenizers and chat
 * templates are used, and its inference runtime would add 27 MB that never run.
 */
export class Tensor {}
export const InferenceSession = undefined;
export const env = undefined;
export default undefined;
