import { Snippet } from './ui';

const MERGED = `from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "merged"  # the folder you saved, or the unpacked zip
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")

prompt = tokenizer("Tell me a story.", return_tensors="pt")
answer = model.generate(**prompt, max_new_tokens=100)
print(tokenizer.decode(answer[0]))`;

const ADAPTER = `from peft import PeftModel
from transformers import AutoModelForCausalLM

base = AutoModelForCausalLM.from_pretrained("path/to/base")
model = PeftModel.from_pretrained(base, "adapter")

# or for good, as the merged model has it:
model = model.merge_and_unload()`;

export function LoadSnippets() {
  return (
    <section aria-labelledby="load-title">
      <h2 className="section-title" id="load-title">
        How to load it
      </h2>
      <div className="two-columns">
        <Snippet title="Merged model, with transformers" code={MERGED} label="Python code for the merged model" />
        <Snippet title="Adapter, with PEFT" code={ADAPTER} label="Python code for the adapter" />
      </div>
    </section>
  );
}
