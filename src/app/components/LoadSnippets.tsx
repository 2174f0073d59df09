import { Snippet } from './ui';

const MERGED = `from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "merged"  # the folder you saved
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", device_map="auto")

inputs = tokenizer("Tell me a story about a duck.", return_tensors="pt").to(model.device)
print(tokenizer.decode(model.generate(**inputs, max_new_tokens=100)[0]))`;

const ADAPTER = `from peft import PeftModel
from transformers import AutoModelForCausalLM

base = AutoModelForCausalLM.from_pretrained("path/to/the/base/model", dtype="auto")
model = PeftModel.from_pretrained(base, "adapter")  # the folder you saved`;

export function LoadSnippets() {
  return (
    <section aria-labelledby="load-title">
      <h2 className="section-title" id="load-title">
        How to load it
      </h2>
      <div className="two-columns">
        <div className="card">
          <h3>Merged model, with transformers</h3>
          <Snippet code={MERGED} label="Python code for the merged model" />
        </div>
        <div className="card">
          <h3>Adapter, with PEFT</h3>
          <Snippet code={ADAPTER} label="Python code for the adapter" />
        </div>
      </div>
    </section>
  );
}
