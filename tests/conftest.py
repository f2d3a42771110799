import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import pytest
import tiny

from shiftlens.models import LanguageModel, load_model


@pytest.fixture(params=tiny.ARCHITECTURES)
def architecture(request) -> str:
    """Each architecture in turn."""
    return request.param


@pytest.fixture
def model(architecture) -> LanguageModel:
    """A fresh tiny model of each architecture in turn."""
    tokenizer = tiny.tiny_tokenizer(eos=architecture in tiny.ENCODERS)
    return load_model(tiny.tiny_model(architecture), tokenizer)


@pytest.fixture
def llama() -> LanguageModel:
    """A fresh tiny Llama."""
    return load_model(tiny.tiny_model("llama"), tiny.tiny_tokenizer())
