#!/usr/bin/env python3
"""The step that `npm run -s bench` times, in PyTorch: ORPO with LoRA as TRL's ORPOTrainer runs it.

transformers' Llama in the shape of Llama-3.2-1B with random weights, PEFT's LoRA of rank 16 on all seven projections, chosen
and rejected concatenated and padded to the longest, TRL's loss and metrics (trl/experimental/orpo: get_batch_loss_metrics),
gradient checkpointing, clipping, fused AdamW. Needs torch, transformers and peft.

  pytorch_reference.py --serve                 requests on standard input, one JSON object a line; as many answers on standard output
  pytorch_reference.py --request '{"dtype": "fp32", "steps": 3}'           one request, answered and printed
  pytorch_reference.py --check MODEL GOLDEN    loss of a recorded TRL run's first step (tests/goldens/NAME), in fp32

Request: dtype      fp32, tf32 (fp32 weights, tf32 products) or bf16 (bf16 weights, fp32 adapter, autocast)
         rows       JSONL of pairs (chosen_input_ids, chosen_labels, rejected_input_ids, rejected_labels); without it
                    `pairs` random pairs of `length` tokens a side
         batches    lists of row numbers, one a step; without it `steps` times the random pairs
         warm       steps before the clock runs, 2 when absent
         shape      fields of LlamaConfig in place of Llama-3.2-1B's
Answer:  ms of every step, tokens (padding included, as TRL computes them), tokensPerSecond, peakBytes, losses; or error.
"""

import argparse
import gc
import json
import math
import os
import statistics
import sys
import time
import traceback

import torch
import torch.nn.functional as F
from torch import nn

LLAMA_1B = {
    "vocab_size": 128256, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64, "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5, "tie_word_embeddings": True, "use_cache": False,
}
LORA_TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
BETA = 0.1
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


# ------------------------------------------------------------------------------------------------ model


def build(shape, weights_dtype):
    """A LoRA model of random weights on the device, ready to train."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(**shape)
    config._attn_implementation = "sdpa"
    torch.manual_seed(0)
    try:
        with torch.device(DEVICE):
            model = LlamaForCausalLM(config)
    except Exception:  # slower, and always possible
        traceback.print_exc()
        model = LlamaForCausalLM(config)
    return with_lora(model.to(DEVICE, dtype=weights_dtype))


def with_lora(model, r=16, alpha=32):
    from peft import LoraConfig, get_peft_model

    model.config.use_cache = False
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    config = LoraConfig(r=r, lora_alpha=alpha, lora_dropout=0.0, bias="none", target_modules=LORA_TARGETS, task_type="CAUSAL_LM")
    peft_model = get_peft_model(model, config)
    for p in peft_model.parameters():
        if p.requires_grad:
            p.data = p.data.float()
    peft_model.train()
    return peft_model


# ------------------------------------------------------------------------------------------------ TRL's loss


def collate(rows):
    """Rows 0..B-1 chosen, B..2B-1 rejected, right-padded to the longest of all."""
    ids = [r["chosen_input_ids"] for r in rows] + [r["rejected_input_ids"] for r in rows]
    labels = [r["chosen_labels"] for r in rows] + [r["rejected_labels"] for r in rows]
    longest = max(len(s) for s in ids)

    def padded(lists, fill):
        return torch.tensor([s + [fill] * (longest - len(s)) for s in lists], dtype=torch.long).to(DEVICE)

    return padded(ids, 0), padded([[1] * len(s) for s in ids], 0), padded(labels, -100)


def selective_log_softmax(logits, index):
    index = index.unsqueeze(-1)
    if logits.dtype in (torch.float32, torch.float64):
        selected = torch.gather(logits, dim=-1, index=index)
        norm = torch.stack([torch.logsumexp(row, dim=-1) for row in logits])
        return (selected - norm.unsqueeze(-1)).squeeze(-1)
    rows = [F.log_softmax(row, dim=-1).gather(dim=-1, index=at) for row, at in zip(logits, index)]
    return torch.stack(rows).squeeze(-1)


def batch_logps(logits, labels):
    labels = labels[:, 1:].clone()
    logits = logits[:, :-1, :]
    mask = labels != -100
    labels = torch.where(labels == -100, 0, labels)
    return (selective_log_softmax(logits, labels) * mask).sum(-1) / mask.sum(-1)


def log1mexp(x):
    return torch.where(x < -math.log(2.0), torch.log1p(-torch.exp(x)), torch.log(-torch.expm1(x)))


def orpo_loss(model, batch, autocast_dtype=None):
    """(loss, metrics) of one micro-batch."""
    ids, attention, labels = batch
    pairs = ids.shape[0] // 2
    if autocast_dtype is None:
        logits = model(input_ids=ids, attention_mask=attention, use_cache=False).logits
    else:
        with torch.autocast(DEVICE, dtype=autocast_dtype):
            logits = model(input_ids=ids, attention_mask=attention, use_cache=False).logits
        logits = logits.float()  # accelerate hands autocast's outputs on in fp32
    targets = torch.where(attention == 1, ids, -100)
    shifted = logits[:pairs, :-1, :].contiguous()
    nll = nn.CrossEntropyLoss()(shifted.view(-1, shifted.shape[-1]), targets[:pairs, 1:].contiguous().view(-1))
    logps = batch_logps(logits, labels).float()
    chosen, rejected = logps[:pairs], logps[pairs:]
    log_odds = (chosen - rejected) - (log1mexp(chosen) - log1mexp(rejected))
    ratio = F.logsigmoid(log_odds)
    loss = nll - (BETA * ratio).mean()
    rc, rr = BETA * chosen.detach(), BETA * rejected.detach()
    metrics = {
        "rewards/chosen": rc.mean(), "rewards/rejected": rr.mean(), "rewards/accuracies": (rc > rr).float().mean(),
        "rewards/margins": (rc - rr).mean(), "logps/chosen": chosen.detach().mean(), "logps/rejected": rejected.detach().mean(),
        "logits/chosen": logits[:pairs, :-1].detach().mean(), "logits/rejected": logits[pairs:, :-1].detach().mean(),
        "nll_loss": nll.detach(), "log_odds_ratio": ratio.detach().mean(), "log_odds_chosen": log_odds.detach().mean(),
    }
    return loss, {k: v.item() for k, v in metrics.items()}


# ------------------------------------------------------------------------------------------------ timing


class Bench:
    def __init__(self):
        self.kind, self.model, self.optimizer = None, None, None
        self.rows = {}

    def use(self, dtype, shape):
        kind = ("bf16" if dtype == "bf16" else "fp32", json.dumps(shape, sort_keys=True))
        torch.set_float32_matmul_precision("high" if dtype == "tf32" else "highest")
        if kind == self.kind:
            return
        self.kind, self.model, self.optimizer = None, None, None
        gc.collect()
        if DEVICE == "cuda":
            torch.cuda.empty_cache()
        self.model = build({**LLAMA_1B, **shape}, torch.bfloat16 if dtype == "bf16" else torch.float32)
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(parameters, lr=8e-6, weight_decay=0.0, fused=DEVICE == "cuda")
        self.kind = kind

    def step(self, batch, dtype):
        loss, _ = orpo_loss(self.model, batch, torch.bfloat16 if dtype == "bf16" else None)
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for p in self.model.parameters() if p.requires_grad], 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    def batches(self, request):
        path = request.get("rows")
        if path is None:
            vocab = self.model.config.vocab_size
            length, pairs = request.get("length", 1024), request.get("pairs", 2)
            g = torch.Generator().manual_seed(7)
            row = lambda: torch.randint(0, vocab, (length,), generator=g).tolist()
            steps = []
            for _ in range(request.get("steps", 3)):
                rows = []
                for _ in range(pairs):
                    c, r = row(), row()
                    rows.append({"chosen_input_ids": c, "chosen_labels": [-100] + c[1:], "rejected_input_ids": r, "rejected_labels": [-100] + r[1:]})
                steps.append(collate(rows))
            return steps
        if path not in self.rows:
            with open(path, encoding="utf-8") as f:
                self.rows[path] = [json.loads(line) for line in f if line.strip()]
        return [collate([self.rows[path][i] for i in batch]) for batch in request["batches"]]

    def answer(self, request):
        dtype = request["dtype"]
        began = time.perf_counter()
        self.use(dtype, request.get("shape", {}))
        batches = self.batches(request)
        sync = torch.cuda.synchronize if DEVICE == "cuda" else (lambda: None)
        if DEVICE == "cuda":
            torch.cuda.reset_peak_memory_stats()
        for i in range(request.get("warm", 2)):
            self.step(batches[i % len(batches)], dtype)
        sync()
        ready = time.perf_counter() - began
        ms, losses, tokens = [], [], 0
        for batch in batches:
            start = time.perf_counter()
            loss = self.step(batch, dtype)
            sync()
            ms.append((time.perf_counter() - start) * 1000)
            losses.append(float(loss))
            tokens += batch[0].numel()
        peak = torch.cuda.max_memory_allocated() if DEVICE == "cuda" else None
        return {
            "dtype": dtype, "ms": ms, "medianMs": statistics.median(ms), "tokens": tokens,
            "tokensPerSecond": tokens * 1000 / sum(ms), "peakBytes": peak, "losses": losses, "readySeconds": ready,
        }


def versions():
    import peft
    import transformers

    name = torch.cuda.get_device_name(0) if DEVICE == "cuda" else "cpu"
    return {"device": name, "torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__}


def guarded(bench, line):
    try:
        request = json.loads(line)
        return versions() if request.get("hello") else bench.answer(request)
    except Exception as error:  # one dtype that fails must not lose the others
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"}


def check(model_dir, golden_dir):
    """Loss of the first micro-batches of a recorded run, from its own initial adapter."""
    from safetensors.torch import load_file
    from transformers import LlamaForCausalLM

    read = lambda name: open(os.path.join(golden_dir, name), encoding="utf-8")
    hparams, plan = json.load(read("hparams.json")), json.load(read("batches.json"))
    rows = [json.loads(line) for line in read("tokens.jsonl")]
    expected = json.loads(read("log.jsonl").readline())["loss"]
    model = with_lora(LlamaForCausalLM.from_pretrained(model_dir).float().to(DEVICE), hparams["lora_r"], hparams["lora_alpha"])
    init = load_file(os.path.join(golden_dir, "init.safetensors"))
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.requires_grad:
                p.copy_(init[name.replace(".default.", ".")])
    losses = [float(orpo_loss(model, collate([rows[i] for i in micro]))[0].detach()) for micro in plan["steps"][0]["micro"]]
    loss = sum(losses) / len(losses)
    print(f"loss {loss:.7f}, recorded {expected:.7f}, difference {abs(loss - expected):.1e}")
    return abs(loss - expected) < 1e-5


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--request")
    parser.add_argument("--check", nargs=2, metavar=("MODEL", "GOLDEN"))
    args = parser.parse_args()
    if args.check:
        sys.exit(0 if check(*args.check) else 1)
    answers = sys.stdout
    sys.stdout = sys.stderr  # whatever libraries print must not be taken for an answer
    bench = Bench()
    for line in [args.request] if args.request else sys.stdin if args.serve else ['{"hello": true}']:
        if line.strip():
            print(json.dumps(guarded(bench, line)), file=answers, flush=True)


if __name__ == "__main__":
    main()
