"""What does not fit the memory ends in one line, whichever command it is in."""

import pytest
import tiny
import torch

from shiftlens.cli import main
from shiftlens.corpora import Corpus
from shiftlens.errors import ShiftlensError
from shiftlens.lens import TokenLanguages, answer_lens, language_lens
from shiftlens.loading import load_model
from shiftlens.neurons import activation_probabilities
from shiftlens.sft import SftRecord
from shiftlens.steering import Steering
from shiftlens.steering_curve import steering_curve
from shiftlens.text_loss import text_losses
from shiftlens.weightless import LiveBytes

CORPUS = Corpus.from_texts({"en": ["a cab and a dad"] * 3, "es": ["zorro y zorro"] * 3})
RECORDS = [
    SftRecord(f"1.{code}", code, "a cab and", text) for code, text in (("en", "a"), ("es", "zo"))
]
ERRORS = {
    "cuda": torch.OutOfMemoryError("CUDA out of memory. Tried to\nallocate"),
    "cpu": RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to\nallocate"),
    "cpu on Windows": RuntimeError("DefaultCPUAllocator: not enough memory: you tried"),
}
STEERED = Steering("language", 1, torch.zeros(32))
WORK = {
    "neurons": lambda model: activation_probabilities(model, CORPUS, progress=False),
    "losses": lambda model: text_losses(model, [[1, 5, 6, 7, 8, 9]]),
    "lens": lambda model: language_lens(
        model, CORPUS, TokenLanguages.of_corpus(model, CORPUS), progress=False
    ),
    "answers": lambda model: answer_lens(model, RECORDS, progress=False),
    "steer": lambda model: steering_curve(model, RECORDS, "en", "es", STEERED, [1.0]),
}


def failing(model, error):
    """The model, whose last block fails on more than the four tokens that a head is tried on."""

    def fail(block, given):
        if given[0].shape[:-1].numel() > 4:
            raise error

    model.blocks[-1].register_forward_pre_hook(fail)
    return model


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("work", WORK)
def test_a_batch_that_does_not_fit_is_one_line(llama, work, error):
    words = r"^out of memory in a batch of .*; lower batch_"
    with pytest.raises(ShiftlensError, match=words) as got:
        WORK[work](failing(llama, ERRORS[error]))
    assert "\n" not in str(got.value)


def test_another_error_is_not_taken_for_it(llama):
    with pytest.raises(RuntimeError, match="shapes") as got:
        WORK["losses"](failing(llama, RuntimeError("shapes differ")))
    assert not isinstance(got.value, ShiftlensError)


def test_a_model_that_does_not_fit_is_one_line(tmp_path, monkeypatch, capsys):
    def full(*_):
        raise ERRORS["cuda"]

    monkeypatch.setattr("transformers.PreTrainedModel.to", full)
    assert main(["neurons", "--model", "demo", "--out", str(tmp_path / "x")]) == 2
    line = capsys.readouterr().err
    assert "out of memory in loading model 'demo'; give a narrower dtype" in line
    assert line.count("\n") == 1


def test_the_losses_hold_no_logits_in_float32_but_some_positions_at_a_time(monkeypatch):
    monkeypatch.setattr("shiftlens.lens.reading.CHUNK_BYTES", 2**20)
    hf = tiny.tiny_model("llama", vocab_size=20_000).to(torch.bfloat16)
    model = load_model(hf, tiny.tiny_tokenizer())
    texts = [[1, *range(5, 44)]] * 16
    with LiveBytes() as live:
        losses = text_losses(model, texts)
    logits = 16 * 40 * 20_000 * 2
    assert logits < live.peak < 1.3 * logits
    ids = torch.tensor(texts[:1])
    with torch.no_grad():
        expected = torch.nn.functional.cross_entropy(hf(ids).logits[0, :-1].float(), ids[0, 1:])
    torch.testing.assert_close(float(losses[0]), float(expected), rtol=1e-3, atol=0)
