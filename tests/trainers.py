"""Trainers of tiny models on a few sentences, and what the tests of them share."""

import tiny
import torch
from transformers import TrainerCallback

from shiftlens.arms import ARMS
from shiftlens.config import TrainConfig
from shiftlens.corpora import Corpus
from shiftlens.loading import load_model
from shiftlens.sft import SftRecord
from shiftlens.training.arguments import training_arguments
from shiftlens.training.objective import objective_of
from shiftlens.training.trainer import ShifConTrainer

LETTERS = "abcdefghijkl"
TEXTS = {
    "en": [f"the {n} cats of {LETTERS[n]}" + " sat" * (n % 3) for n in range(12)],
    "es": [f"los {n} gatos de {LETTERS[n]}" + "." * (n % 4) for n in range(12)],
    "fi": [f"{n} kissaa {LETTERS[n]}" for n in range(12)],
}
CORPUS = Corpus.from_texts(TEXTS)
RECORDS = [
    SftRecord(f"{code}{n}", code, f"{word} {LETTERS[n]}" + "?" * (n % 3), f" {LETTERS[n + 1]}o")
    for code, word in (("en", "what is"), ("es", "que es"), ("fi", "mika on"))
    for n in range(4)
]
AREA = (1, 3)
TRAINED = [name for name, arm in ARMS.items() if arm.trained]


def a_model(**options):
    hf = tiny.tiny_model("llama", num_hidden_layers=4, **options)
    return load_model(hf, tiny.tiny_tokenizer())


def a_trainer(
    folder, arm="shifcon", model=None, records=RECORDS, pooling=None, callbacks=None, **settings
):
    """A trainer whose options go where they belong: objective, configuration or arguments."""
    names = set(TrainConfig.__dataclass_fields__)
    config = TrainConfig(
        **{
            "model": "",
            "sft": "",
            "parallel": "",
            "out": "",
            "arm": arm,
            "pairs": 4,
            "steps": 2,
            "batch_size": 4,
            "learning_rate": 1e-3,
            "save_every": 1000,
            "device": "cpu",
            **{name: value for name, value in settings.items() if name in names},
        }
    )
    others = {name: value for name, value in settings.items() if name not in names}
    arguments = training_arguments(config, folder, disable_tqdm=True, **others)
    model = model or a_model()
    objective = objective_of(config, AREA)
    return ShifConTrainer(model, records, CORPUS, objective, arguments, pooling, callbacks)


def weights(model):
    return {name: tensor.clone() for name, tensor in model.hf.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def trained(folder, arm="shifcon", **settings):
    trainer = a_trainer(folder, arm, **settings)
    trainer.train()
    return weights(trainer.language_model)


class At(TrainerCallback):
    """Does something at one event of one step."""

    def __init__(self, event, step, action):
        def react(args, state, control, **kwargs):
            if step is None or state.global_step == step:
                action(state)

        setattr(self, event, react)


class Killed(Exception):
    pass


def kill(state):
    raise Killed
