/** Ollama's Modelfile beside a GGUF file. https://github.com/ollama/ollama/blob/main/docs/modelfile.md */

interface Layout {
  /** A string that only this layout's chat template has. */
  mark: string;
  /** In Go's template language. */
  template: string;
  stops: readonly string[];
}

const LAYOUTS: readonly Layout[] = [
  {
    mark: '<|start_header_id|>',
    template: `{{ if .System }}<|start_header_id|>system<|end_header_id|>

{{ .System }}<|eot_id|>{{ end }}{{ if .Prompt }}<|start_header_id|>user<|end_header_id|>

{{ .Prompt }}<|eot_id|>{{ end }}<|start_header_id|>assistant<|end_header_id|>

{{ .Response }}<|eot_id|>`,
    stops: ['<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>'],
  },
  {
    mark: '<|im_start|>',
    template: `{{ if .System }}<|im_start|>system
{{ .System }}<|im_end|>
{{ end }}{{ if .Prompt }}<|im_start|>user
{{ .Prompt }}<|im_end|>
{{ end }}<|im_start|>assistant
{{ .Response }}<|im_end|>
`,
    stops: ['<|im_start|>', '<|im_end|>'],
  },
];

/**
 * `ollama create NAME -f Modelfile` makes a model of the GGUF file. Ollama does not run Jinja: known layouts are written
 * in its own language; a model without a chat template gets the prompt as it is; any other is left to Ollama's guess.
 */
export function modelfile(fileName: string, chatTemplate: string | null): string {
  const lines = [`FROM ./${fileName}`];
  const layout = LAYOUTS.find(({ mark }) => chatTemplate?.includes(mark));
  if (layout) {
    lines.push(`TEMPLATE """${layout.template}"""`);
    for (const stop of layout.stops) lines.push(`PARAMETER stop "${stop}"`);
  } else if (chatTemplate === null) lines.push('TEMPLATE """{{ .Prompt }}"""');
  return `${lines.join('\n')}\n`;
}
