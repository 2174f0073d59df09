import { Snippet } from './ui';

const MERGED = `from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "merged"  # the folder you saved, the unpacked zip, or owner/name
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

const LLAMA_CPP = `# in the folder of the .gguf file
llama-cli -m model-Q8_0.gguf -p "Tell me a story."

# a server with a chat page on http://localhost:8080
llama-server -m model-Q8_0.gguf`;

const OLLAMA = `# in the folder of the .gguf file and its Modelfile
ollama create my-model -f Modelfile
ollama run my-model`;

export function LoadSnippets() {
  return (
    <section aria-labelledby="load-title">
      <h2 className="section-title" id="load-title">
        How to load it
      </h2>
      <div className="two-columns snippets">
        <Snippet title="Merged model, with transformers" code={MERGED} label="Python code for the merged model" />
        <Snippet title="Adapter, with PEFT" code={ADAPTER} label="Python code for the adapter" />
        <Snippet title="GGUF file, with llama.cpp" code={LLAMA_CPP} label="Commands for llama.cpp" />
        <Snippet title="GGUF file, with Ollama" code={OLLAMA} label="Commands for Ollama" />
      </div>
    </section>
  );
}
