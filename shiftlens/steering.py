"""Steering: the residual stream of one layer is moved, with a strength, in forward and generate."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from shiftlens.errors import ShiftlensError
from shiftlens.generation import guarded_generate
from shiftlens.geometry.language_subspace import LanguageSubspace
from shiftlens.geometry.projection import lsar
from shiftlens.language_vectors import LanguageVectors
from shiftlens.models import LanguageModel
from shiftlens.residual import hook_names, residual_hooks


@dataclass(frozen=True, eq=False)
class Steering:
    r"""An affine change of the residual stream after one block, at every position.

    .. math:: h_l \leftarrow h_l + s \, (A h_l + b)

    with the strength s, in float32 and then in the stream's own dtype. The kinds differ in A and b;
    where A is None it is zero.

    Attributes:
        kind: What it is called.
        layer: l, in 0..L.
        offset: b, ``(d_model,)``.
        matrix: A, ``(d_model, d_model)``, or None.
    """

    kind: str
    layer: int
    offset: Tensor
    matrix: Tensor | None = None

    @classmethod
    def language(cls, vectors: LanguageVectors, target: str, layer: int) -> "Steering":
        r"""Add what the target's vector has beyond the mean of all languages' vectors.

        .. math:: b = v(k, l) - \frac{1}{K} \sum_j v(j, l), \qquad A = 0

        The mean is taken off because it is what all texts have in common: adding it would push
        every text along a direction that has nothing to do with the language.

        Raises:
            ShiftlensError: There is no such layer, or the language has no vectors.

        Source:
            Language vectors as in Zhang et al., "ShifCon", ACL 2025, arXiv:2410.19453, section 3;
            their mean taken off as in Chang et al., EMNLP 2022, arXiv:2205.10964.
        """
        check_layer(layer, vectors.n_layers)
        mean = torch.stack([own[layer].double() for own in vectors.vectors.values()]).mean(0)
        return cls("language", layer, (vectors[target][layer].double() - mean).float())

    @classmethod
    def difference(
        cls, vectors: LanguageVectors, source: str, target: str, layer: int
    ) -> "Steering":
        r"""Add the step from the source's vector to the target's: one half of ShifCon's shift.

        .. math:: b = v(target, l) - v(source, l), \qquad A = 0

        Raises:
            ShiftlensError: There is no such layer, or a language has no vectors.

        Source:
            Zhang et al., "ShifCon", ACL 2025, arXiv:2410.19453, section 3.
        """
        check_layer(layer, vectors.n_layers)
        return cls("difference", layer, vectors[target][layer] - vectors[source][layer])

    @classmethod
    def subspace(cls, fitted: LanguageSubspace, layer: int, onto: bool = True) -> "Steering":
        r"""Take away what lies outside of a language's subspace, or with ``onto=False`` inside it.

        With the affine subspace :math:`\mu + \operatorname{span}(U)` and P = I - U U^T (onto) or
        P = U U^T (out of it):

        .. math:: A = -P, \qquad b = P \mu

        At strength 1 the stream is the nearest point of the subspace, or has the mean's coordinates
        in it.

        Source:
            Chang, Tu & Bergen, "The Geometry of Multilingual Language Model Representations",
            EMNLP 2022, arXiv:2205.10964.
        """
        inside = fitted.components_.T @ fitted.components_
        removed = np.eye(len(inside)) - inside if onto else inside
        kind = "subspace-onto" if onto else "subspace-out"
        return cls(kind, layer, _float(removed @ fitted.mean_), _float(-removed))

    @classmethod
    def lsar(cls, vectors: LanguageVectors, layer: int, rank: int | None = None) -> "Steering":
        r"""Take away the component along the directions in which the languages' vectors differ.

        .. math:: A = -M M^T, \qquad b = 0

        with M of :func:`shiftlens.geometry.lsar`.

        Raises:
            ShiftlensError: There is no such layer, or as :func:`shiftlens.geometry.lsar`.

        Source:
            Xie, Zhao, Yu & Li, "Discovering Low-rank Subspaces for Language-agnostic Multilingual
            Representations", EMNLP 2022, arXiv:2401.05792.
        """
        check_layer(layer, vectors.n_layers)
        means = {language: own[layer] for language, own in vectors.vectors.items()}
        directions = lsar(means, rank).directions
        offset = torch.zeros(len(directions))
        return cls("lsar", layer, offset, _float(-directions @ directions.T))

    @classmethod
    def incline(cls, source: Any, target: Any, layer: int, ridge: float = 0.0) -> "Steering":
        r"""Add what the least-squares map from source to target states makes of the stream.

        .. math::
            W = \arg\min_W \sum_i \| W s_i - t_i \|^2 + \lambda \| W \|_F^2, \qquad
            h \leftarrow h + s \, W h

        so that A = W, b = 0, over parallel sentences i with states s_i and t_i; of several
        minima W is the smallest. The paper fits and moves the last token, at every layer; here the
        states are whatever is given (of a store: means over a sentence's tokens), and one layer is
        moved at every position. The stream grows: at s = 1 it is about the sum of both languages'
        states. The paper searches s in -1..1.

        Args:
            source: ``(n, d_model)``, states of the source language.
            target: ``(n, d_model)``, row i the same sentence.
            layer: Where the states are from.
            ridge: lambda; the paper has none.

        Raises:
            ShiftlensError: The states are not of one shape, or as :func:`check_ridge`.

        Source:
            Wang, Wu, Haddow & Birch, "Bridging the Language Gaps in Large Language Models with
            Inference-Time Cross-Lingual Intervention", ACL 2025, arXiv:2410.12462.
        """
        s, t = (np.asarray(states, dtype=np.float64) for states in (source, target))
        if s.ndim != 2 or s.shape != t.shape or not len(s):
            raise ShiftlensError(
                f"the source's states are {s.shape} and the target's {t.shape}; give both the same "
                "sentences, (n, d_model)"
            )
        check_ridge(ridge)
        penalty = np.sqrt(ridge) * np.eye(s.shape[1]) if ridge else np.empty((0, s.shape[1]))
        rows = np.concatenate([s, penalty]), np.concatenate([t, np.zeros_like(penalty)])
        transposed = np.linalg.lstsq(*rows, rcond=None)[0]
        return cls("incline", layer, torch.zeros(s.shape[1]), _float(transposed.T))

    def steered(self, stream: Tensor, strength: float) -> Tensor:
        """The stream ``(..., d_model)`` after steering, in its own dtype."""
        wide = stream.float()
        step = self.offset.to(stream.device)
        if self.matrix is not None:
            step = step + wide @ self.matrix.to(stream.device).T
        return (wide + strength * step).to(stream.dtype)

    @contextlib.contextmanager
    def applied(self, model: Any, strength: float = 1.0) -> Iterator[None]:
        """Steer every forward pass, backward pass and ``generate`` inside the context.

        At strength 0 the model is left as it is, bit for bit.

        Args:
            model: A :class:`LanguageModel` (torch hooks) or a ``TransformerBridge``
                (TransformerLens hooks; generate with the plain model).
            strength: s; negative to go the other way.

        Yields:
            Nothing; the hooks are removed on exit, also after an error.

        Raises:
            ShiftlensError: The model has no such layer or another width, the strength is not
                finite, or ``generate`` is called with right-padded prompts.
        """
        if not np.isfinite(strength):
            raise ShiftlensError(f"the strength is {strength}; give a finite number")
        plain = isinstance(model, LanguageModel)
        n_layers = model.n_layers if plain else len(model.blocks)
        check_layer(self.layer, n_layers)
        width = model.d_model if plain else model.cfg.d_model
        if width != len(self.offset):
            raise ShiftlensError(
                f"the steering is {len(self.offset)} wide and the model {width}; measure it on "
                "this model"
            )

        def action(layer: int, stream: Tensor) -> Tensor | None:
            return None if strength == 0 else self.steered(stream, strength)

        if plain:
            hooks = residual_hooks(model, action, [self.layer])
            with hooks, guarded_generate(model.hf):
                yield
            return
        name = hook_names(n_layers)[self.layer]
        with model.hooks(fwd_hooks=[(name, lambda stream, hook: action(self.layer, stream))]):
            yield


def check_layer(layer: int, n_layers: int) -> None:
    """Refuse a layer that the model does not have.

    Raises:
        ShiftlensError: Unless 0 <= layer <= L.
    """
    if not 0 <= layer <= n_layers:
        raise ShiftlensError(f"there is no layer {layer}: the model has layers 0..{n_layers}")


def check_ridge(ridge: float) -> None:
    """Refuse a penalty that is none.

    Raises:
        ShiftlensError: It is negative, NaN or infinite.
    """
    if not 0 <= ridge < float("inf"):
        raise ShiftlensError(f"ridge is {ridge}; give 0 or more")


def _float(array: np.ndarray) -> Tensor:
    return cast(Tensor, torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)))
