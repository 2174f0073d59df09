#!/usr/bin/env python3
"""The run of job.json with TRL's own ORPO trainer, on one GPU or many.

    pip install torch transformers trl peft accelerate datasets safetensors   (and bitsandbytes for a 4-bit model)
    python train_trl.py --model PATH_OR_REPO
    accelerate launch --config_file accelerate.yaml train_trl.py --model PATH_OR_REPO

The rows carry their tokens, so template and truncation are those of the studio, whatever tokenizer this machine has.
The result is a PEFT adapter in ./out, which the studio takes back: drop its two files on the page.
"""

import argparse
import inspect
import json
import os
from pathlib import Path

import torch
from datasets import load_dataset
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training, set_peft_model_state_dict
from safetensors.torch import load_file
from torch.utils.data import SequentialSampler
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

try:  # TRL from 0.26 on keeps ORPO here
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer
except ImportError:
    from trl import ORPOConfig, ORPOTrainer

HERE = Path(__file__).resolve().parent
JOB = json.loads((HERE / "job.json").read_text())
HP = JOB["hparams"]


class StoredTokens(ORPOTrainer):
    """Takes the tokens of the rows as they are, and the pairs in file order where the run did not shuffle."""

    def tokenize_row(self, feature, *args, **kwargs):
        row = {}
        for answer in ("chosen", "rejected"):
            ids = feature[f"{answer}_input_ids"]
            row[f"{answer}_input_ids"] = ids
            row[f"{answer}_attention_mask"] = [1] * len(ids)
            row[f"{answer}_labels"] = feature[f"{answer}_labels"]
        return row

    def _get_train_sampler(self, *args, **kwargs):
        if not HP["shuffle"]:
            return SequentialSampler(self.train_dataset)
        return super()._get_train_sampler(*args, **kwargs)


def known(cls, **values):
    """Only the arguments that this version of the class has."""
    names = inspect.signature(cls).parameters
    return cls(**{key: value for key, value in values.items() if key in names})


def open_model(name, dtype):
    config = None
    if JOB["quantize_nf4"]:
        config = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    rank = int(os.environ.get("LOCAL_RANK", 0))
    model = AutoModelForCausalLM.from_pretrained(
        name,
        torch_dtype=dtype,
        attn_implementation="eager" if dtype == torch.float32 else None,
        quantization_config=config,
        device_map={"": rank} if torch.cuda.is_available() else None,
    )
    model.config.use_cache = False
    if getattr(model, "is_loaded_in_4bit", False):
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=HP["gradient_checkpointing"])
    lora = known(
        LoraConfig,
        r=HP["lora_r"],
        lora_alpha=HP["lora_alpha"],
        lora_dropout=0.0 if HP["disable_dropout"] else HP["lora_dropout"],
        target_modules=HP["target_modules"],
        use_rslora=HP["use_rslora"],
        use_dora=HP["use_dora"],
        bias="none",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, lora)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=JOB["model"], help="the base model: a folder, or a repository of the Hub")
    parser.add_argument("--start", default=JOB["start"], help="folder of the adapter to start from; 'fresh' for none")
    parser.add_argument("--out", default="out")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    args = parser.parse_args()

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.bos_token
    model = open_model(args.model, getattr(torch, args.dtype))
    if args.start != "fresh":
        state = load_file(str(HERE / args.start / "adapter_model.safetensors"))
        missing = set_peft_model_state_dict(model, state)
        assert not getattr(missing, "unexpected_keys", None), missing.unexpected_keys

    files = {"train": str(HERE / "train.jsonl")}
    if JOB["eval_pairs"]:
        files["eval"] = str(HERE / "eval.jsonl")
    data = load_dataset("json", data_files=files)

    world = int(os.environ.get("WORLD_SIZE", 1))
    accumulation = HP["gradient_accumulation_steps"]
    if accumulation % world:
        print(f"{world} GPUs do not divide gradient_accumulation_steps {accumulation}: the effective batch grows.")
    config = known(
        ORPOConfig,
        output_dir=args.out,
        beta=HP["beta"],
        max_length=HP["max_length"],
        max_prompt_length=HP["max_prompt_length"],
        disable_dropout=HP["disable_dropout"],
        learning_rate=HP["learning_rate"],
        lr_scheduler_type=HP["lr_scheduler_type"],
        warmup_steps=JOB["warmup_steps"],
        num_train_epochs=HP["num_train_epochs"],
        max_steps=HP["max_steps"] if HP["max_steps"] > 0 else -1,
        per_device_train_batch_size=HP["per_device_train_batch_size"],
        per_device_eval_batch_size=HP["per_device_eval_batch_size"],
        gradient_accumulation_steps=max(1, accumulation // world),
        max_grad_norm=HP["max_grad_norm"],
        optim=JOB["optim"],
        adam_beta1=HP["adam_beta1"],
        adam_beta2=HP["adam_beta2"],
        adam_epsilon=HP["adam_epsilon"],
        weight_decay=HP["weight_decay"],
        seed=HP["seed"],
        data_seed=HP["seed"],
        gradient_checkpointing=HP["gradient_checkpointing"],
        gradient_checkpointing_kwargs={"use_reentrant": False},
        bf16=args.dtype == "bfloat16",
        fp16=args.dtype == "float16",
        eval_strategy="steps" if JOB["eval_pairs"] else "no",
        eval_steps=JOB["eval_steps"],
        save_steps=JOB["save_steps"],
        save_total_limit=HP["save_total_limit"],
        logging_steps=1,
        logging_first_step=True,
        remove_unused_columns=False,
        report_to="none",
    )
    names = inspect.signature(ORPOTrainer.__init__).parameters
    trainer = StoredTokens(
        model=model,
        args=config,
        train_dataset=data["train"],
        eval_dataset=data.get("eval"),
        **{"processing_class" if "processing_class" in names else "tokenizer": tokenizer},
    )
    if JOB["first_loss"] is not None and args.start == JOB["start"]:
        print(f"The studio's loss of step 1 was {JOB['first_loss']:.6f}.")
    trainer.train()
    trainer.save_model(args.out)


if __name__ == "__main__":
    main()
