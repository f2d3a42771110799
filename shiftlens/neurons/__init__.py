"""Language-specific neurons: found by activation entropy, scaled by hooks, and their effects."""

from shiftlens.neurons.controls import matched_neurons, random_neurons
from shiftlens.neurons.counts import activation_probabilities
from shiftlens.neurons.effects import NeuronEffects, measure_effects
from shiftlens.neurons.entropy import activation_entropy, language_specific
from shiftlens.neurons.found import NeuronsFound, choose_neurons, find_neurons
from shiftlens.neurons.hooks import reading, scaling
from shiftlens.neurons.kept import neurons_kept

__all__ = [
    "NeuronEffects",
    "NeuronsFound",
    "activation_entropy",
    "activation_probabilities",
    "choose_neurons",
    "find_neurons",
    "language_specific",
    "matched_neurons",
    "measure_effects",
    "neurons_kept",
    "random_neurons",
    "reading",
    "scaling",
]
