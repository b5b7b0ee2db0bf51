"""TRL's and verl's own classes with execbox's rewards: what they make of each, a line of JSON.

Run by ``acceptance.trainers`` with the interpreter of an environment that has them and execbox:
``python trainer_client.py trl|verl URL FOLDER``. TRL trains a small random model, made here, which
writes nothing of worth: rewards that are known are of programs put in the place of what it wrote.
verl's reward manager is given the tokens of responses, as its rollout does.
"""

from __future__ import annotations

import asyncio
import functools
import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import tokenizers
import transformers

from execbox import Client, ClientConfig, RetryPolicy
from execbox.integrations import verl as own_verl
from execbox.integrations.trl import Rewards

STEPS = 2
GENERATIONS = 4
NOBODY = "http://127.0.0.1:9"
RIGHT = "print(int(input()) * 2)"
WRONG = "print(3)"


def tokenizer() -> Any:
    """A token for each byte."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    words = {text: number for number, text in enumerate(["<pad>", "<eos>", *alphabet])}
    made = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=words, merges=[]))
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", eos_token="<eos>"
    )


def model(token_count: int) -> Any:
    config = transformers.LlamaConfig(
        vocab_size=token_count,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
    )
    return transformers.LlamaForCausalLM(config)


def instead(
    reward: Callable[..., list[float | None]], texts: Sequence[str], *, name: str
) -> Callable[..., list[float | None]]:
    """The reward of these in the place of what the model wrote, in turns."""

    def rewarded(completions: Sequence[Any], **columns: Any) -> list[float | None]:
        written = [texts[number % len(texts)] for number in range(len(completions))]
        return reward(written, **columns)

    rewarded.__name__ = name
    return rewarded


def rewards(url: str) -> list[Callable[..., list[float | None]]]:
    ours = Rewards(Client(config=ClientConfig(base_url=url)), isolation="process")
    lost = Rewards(Client(config=ClientConfig(base_url=NOBODY, retry=RetryPolicy.never())))

    def as_written(completions: Sequence[Any], **columns: Any) -> list[float | None]:
        return ours.program_reward(completions, **columns)

    def lost_for_half(completions: Sequence[Any], **columns: Any) -> list[float | None]:
        known = instead(ours.program_reward, [RIGHT], name="right")(completions, **columns)
        unknown = lost.program_reward(completions, **columns)
        return [known[n] if n % 2 else unknown[n] for n in range(len(completions))]

    return [
        as_written,
        instead(ours.program_reward, [RIGHT], name="right"),
        instead(ours.program_reward, [RIGHT, WRONG], name="half_right"),
        instead(lost.program_reward, [RIGHT], name="lost"),
        lost_for_half,
    ]


def with_trl(url: str, folder: str) -> None:
    """Train, and tell the newest value of each reward's mean, and how many steps there were."""
    import datasets
    import trl

    reader = tokenizer()
    rows = [{"prompt": f"{n}:", "inputs": ["2"], "outputs": ["4"]} for n in range(8)]
    functions = rewards(url)
    trainer = trl.GRPOTrainer(
        model=model(len(reader)),
        processing_class=reader,
        reward_funcs=functions,
        train_dataset=datasets.Dataset.from_list(rows),
        args=trl.GRPOConfig(
            output_dir=folder,
            max_steps=STEPS,
            per_device_train_batch_size=GENERATIONS,
            num_generations=GENERATIONS,
            max_completion_length=8,
            logging_steps=1,
            report_to="none",
            save_strategy="no",
            use_cpu=True,
            bf16=False,
            seed=3,
        ),
    )
    trainer.train()
    tell("TRL, steps", trainer.state.global_step)
    logged = [line for line in trainer.state.log_history if "reward" in line]
    for function in functions:
        name = function.__name__
        tell(f"TRL, {name}", spelled(logged[-1].get(f"rewards/{name}/mean")))
    whole = logged[-1]["reward"]
    tell("TRL, reward of a step", "unknown" if whole is None else f"{whole:g}")


def spelled(mean: float | None) -> str:
    """What is not logged is as little a number as what is not one."""
    return "unknown" if mean is None or math.isnan(mean) else f"{mean:g}"


def tell(case: str, made: object) -> None:
    print(json.dumps({"case": case, "made": str(made)}), flush=True)


def with_verl(url: str, folder: str) -> None:
    """Score responses by its reward loop's manager, as ``custom_reward_function`` configures it."""
    import omegaconf
    import torch
    import verl
    from verl.experimental.reward_loop.reward_manager.naive import NaiveRewardManager

    del folder
    reader = tokenizer()

    async def scored(response: str, **options: Any) -> dict[str, Any]:
        tokens = torch.tensor([reader.encode(response)])
        data = verl.DataProto.from_dict(
            tensors={"responses": tokens, "attention_mask": torch.ones_like(tokens)},
            non_tensors={
                "data_source": ["code"],
                "reward_model": [{"ground_truth": {"inputs": ["2"], "outputs": ["4"]}}],
                "extra_info": [{}],
            },
        )
        score = functools.partial(own_verl.compute_score, **options)
        manager = NaiveRewardManager(omegaconf.OmegaConf.create({}), reader, score)
        return dict(await manager.run_single(data))

    async def all_of() -> None:
        os.environ["EXECBOX_URL"] = url
        tell("verl, right", spelled_score(await scored(RIGHT)))
        tell("verl, wrong", spelled_score(await scored(WRONG)))
        own_verl._client.cache_clear()
        os.environ["EXECBOX_URL"] = NOBODY
        tell("verl, lost, with a score", spelled_score(await scored(RIGHT, unknown_score=-1.0)))
        try:
            made = spelled_score(await scored(RIGHT))
        except own_verl.OutcomeUnknown:
            made = "OutcomeUnknown"
        tell("verl, lost", made)

    asyncio.run(all_of())


def spelled_score(result: dict[str, Any]) -> str:
    unknown = result["reward_extra_info"]["execbox_unknown"]
    return f"{result['reward_score']:g}, unknown {unknown:g}"


if __name__ == "__main__":
    {"trl": with_trl, "verl": with_verl}[sys.argv[1]](*sys.argv[2:])
