"""F-LMM: a frozen LMM's attention becomes masks (arXiv 2406.05821).

Shape shorthand: P phrases, L layers, T phrase tokens, D hidden width of the LMM, (H, W) image size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from flmm_plugin.errors import UserError
from flmm_plugin.models.groundings import Grounding, phrase_texts, prepare_sample, refine_masks, write_predictions
from flmm_plugin.models.instances import Counts, find_things
from flmm_plugin.models.losses import MaskLosses, average_over_phrases, resize_targets
from flmm_plugin.models.mask_heads.batching import coarse_logits
from flmm_plugin.models.preprocessing import OnCPU
from flmm_plugin.models.presence.estimates import set_presence
from flmm_plugin.models.weights.hub import HubModel
from flmm_plugin.models.weights.trained_state import keep_trained_only
from flmm_plugin.models.weights.untrained import freeze_refiner
from flmm_plugin.registry import MODELS
from flmm_plugin.structures import LMMInputs, LMMOutputs


@MODELS.register_module()
class FLMM(HubModel):
    """A frozen LMM, a mask head on its attention maps and, if wanted, a refiner.

    Only the mask head, the refiner's decoder and the text projection are trained, saved and loaded; nothing at all
    where the mask head has nothing to train (:class:`AttentionMaskHead`).

    Args:
        lmm: config of a :class:`FrozenLMM`.
        mask_head: config of the mask head; ``in_channels`` is added here from the LMM.
        refiner: config of a refiner such as :class:`SAMRefiner`, or None for the mask head alone.
        loss_mask, loss_dice: configs of the losses, needed for training only.
        targets: ``'lmm'`` compares with masks at the LMM's input resolution, as the authors do; ``'image'`` with masks
            at the image's own, which is finer where the LMM's input is small.
        refined_weight: weight of the refined masks' losses beside those of the mask head, 1 as the authors have it. The
            refiner's gradient trains the mask head too; with less of it the mask head's own masks come out better.
    """

    def __init__(
        self,
        *,
        lmm: dict,
        mask_head: dict,
        refiner: dict | None = None,
        loss_mask: dict | None = None,
        loss_dice: dict | None = None,
        targets: str = 'lmm',
        refined_weight: float = 1.0,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor or OnCPU(), init_cfg=init_cfg)
        self.lmm = MODELS.build(lmm)
        self.mask_head = MODELS.build({**mask_head, 'in_channels': self.lmm.num_maps})
        if self.lmm.heads is not None:
            # In checkpoints too, so that one made with other heads is known from its tensors alone.
            self.register_buffer('heads', torch.tensor(self.lmm.heads))
        # "sam" and the names of the text projection are the authors' checkpoint keys.
        self.sam = None if refiner is None else MODELS.build(refiner)
        if not getattr(self.mask_head, 'trained', True):
            freeze_refiner(self.sam)
        if self.sam is not None and self.uses_text:
            self.text_layer_weights = nn.Parameter(torch.ones(self.lmm.num_layers))
            self.text_proj = nn.Linear(self.lmm.hidden_size, self.sam.embed_dim)
        if targets not in ('lmm', 'image'):
            raise ValueError(f"targets must be 'lmm' or 'image', got {targets!r}")
        self.targets = targets
        self.refined_weight = refined_weight
        self.losses = None
        if loss_mask is not None and loss_dice is not None:
            self.losses = MaskLosses(loss_mask, loss_dice, centered=targets == 'image')
        keep_trained_only(self, owner=f'LMM {self.lmm.name!r}')

    @property
    def uses_text(self) -> bool:
        return self.sam is not None and 'text' in self.sam.prompts

    def frozen_hash(self) -> str:
        """sha256 of everything that training must leave unchanged: the LMM and the refiner's image encoder."""
        encoder = '' if self.sam is None else self.sam.weights_hash()
        return self.lmm.weights_hash() + encoder

    def lmm_fingerprint(self) -> str:
        """What a checkpoint's meta says of the LMM it was trained on."""
        return self.lmm.fingerprint()

    def forward(
        self, inputs: Sequence[Tensor], data_samples: Sequence[BaseDataElement] | None = None, mode: str = 'tensor'
    ) -> dict[str, Tensor] | list:
        """MMEngine's entry.

        Args:
            inputs: uint8 RGB images (3, H, W) at their own size.
            data_samples: one an image, with ``prompt`` and ``segments``, or ``input_ids`` and ``phrase_ids``
                (and ``branch_ids``) of text that is tokenised already (see :meth:`FrozenLMM.prepare_tokens`);
                ``gt_instances.masks`` (P, H, W) for losses.
            mode: ``'loss'``, ``'predict'`` or ``'tensor'``.
        """
        if data_samples is None:
            raise ValueError('FLMM needs data_samples: they carry the text that is to be grounded')
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        if mode == 'tensor':
            return self.tensor(inputs, data_samples)
        raise ValueError(f"mode must be 'loss', 'predict' or 'tensor', got {mode!r}")

    def loss(self, images: Sequence[Tensor], data_samples: Sequence[BaseDataElement]) -> dict[str, Tensor]:
        """BCE and Dice of the coarse and of the refined masks, each averaged over all phrases of the global batch."""
        if self.losses is None:
            raise ValueError('the model was built without losses: give loss_mask and loss_dice in its config')
        prepared = self.prepare(images, data_samples)
        targets_of = [self.make_targets(*about) for about in zip(data_samples, prepared, strict=True)]
        groundings = self.ground_batch(images, prepared, self.lmm(prepared))
        terms: list[dict[str, Tensor]] = []
        for targets, grounding in zip(targets_of, groundings, strict=True):
            losses = self.losses(grounding.coarse, targets)
            if grounding.refined is not None:
                refined = self.losses(grounding.refined, targets)
                weights = {name: self.refined_weight if 'loss' in name else 1.0 for name in refined}
                losses.update({f'sam_{name}': weights[name] * value for name, value in refined.items()})
            terms.append(losses)
        return average_over_phrases(terms, [lmm_inputs.num_phrases for lmm_inputs in prepared])

    def make_targets(self, sample: BaseDataElement, lmm_inputs: LMMInputs) -> Tensor:
        """The phrases' masks (P, H, W), zeros and ones in fp32, on the LMM's device."""
        masks = torch.as_tensor(sample.gt_instances.masks)
        if len(masks) != lmm_inputs.num_phrases:
            raise ValueError(f'{lmm_inputs.num_phrases} phrases but {len(masks)} masks in gt_instances')
        targets = masks.to(self.lmm.device, non_blocking=True).float()
        return resize_targets(targets, lmm_inputs.target_size) if self.targets == 'lmm' else targets

    @torch.no_grad()
    def predict(self, images: Sequence[Tensor], data_samples: Sequence[BaseDataElement]) -> list[BaseDataElement]:
        """Set ``pred_instances`` and ``attention_maps``.

        Fields of ``pred_instances``: ``masks``, ``scores``, ``phrases``, ``coarse_masks``, and what mmdet's visualizer
        draws masks by: ``labels``, the phrases' indices, and ``label_names``, the phrases again; with a presence rule
        (``PresenceRuleHook``) also ``presence``.
        """
        prepared = self.prepare(images, data_samples)
        outputs = self.lmm(prepared)
        groundings = self.ground_batch(images, prepared, outputs)
        for image, sample, lmm_inputs, lmm_outputs, grounding in zip(
            images, data_samples, prepared, outputs, groundings, strict=True
        ):
            phrases = phrase_texts(sample, lmm_inputs.num_phrases)
            write_predictions(sample, image, lmm_inputs, lmm_outputs, grounding, phrases)
        if self.presence is not None:
            set_presence(self, images, data_samples, prepared, outputs, groundings)
        return list(data_samples)

    def tensor(self, images: Sequence[Tensor], data_samples: Sequence[BaseDataElement]) -> list[dict[str, Any]]:
        """Raw results a sample: ``attention_maps`` (P, C, h, w), ``hidden_states`` (N, D) averaged over layers,
        ``coarse_logits`` (P, h, w), ``refined_logits`` (P, H, W) and ``scores`` (P,), or None without a refiner."""
        prepared = self.prepare(images, data_samples)
        outputs = self.lmm(prepared, all_tokens=True)
        return [
            dict(
                attention_maps=lmm_outputs.attention_maps,
                hidden_states=self.merge_layers(lmm_outputs.hidden_states) if self.uses_text else None,
                coarse_logits=grounding.coarse,
                refined_logits=grounding.refined,
                scores=grounding.scores,
            )
            for lmm_outputs, grounding in zip(outputs, self.ground_batch(images, prepared, outputs), strict=True)
        ]

    def prepare(self, images: Sequence[Tensor], data_samples: Sequence[BaseDataElement]) -> list[LMMInputs]:
        """Tokenise and preprocess on the CPU, as the LMM's adapter does."""
        if any('begin' in sample for sample in data_samples):
            raise UserError("these samples are to be answered: test them by model=dict(type='AnsweringFLMM')")
        return [prepare_sample(self.lmm, image, sample) for image, sample in zip(images, data_samples, strict=True)]

    def ground_batch(
        self,
        images: Sequence[Tensor],
        inputs: Sequence[LMMInputs],
        outputs: Sequence[LMMOutputs],
        counts: Sequence[Counts] | None = None,
    ) -> list[Grounding]:
        """Mask head and refiner; everything before the losses that is trained.

        ``counts``: of each image; where given, the things of each phrase are found as well.
        """
        regions = [lmm_inputs.finest_grid.region for lmm_inputs in inputs]
        coarse = coarse_logits(self.mask_head, [lmm_outputs.attention_maps for lmm_outputs in outputs], regions)
        texts = [self.text_prompts(lmm_outputs) for lmm_outputs in outputs] if self.uses_text else None
        features = None if self.sam is None else self.sam.encode_images(images)
        groundings = refine_masks(self.sam, images, features, coarse, texts)
        return groundings if counts is None else find_things(self.sam, images, features, groundings, texts, counts)

    def text_prompts(self, lmm_outputs: LMMOutputs) -> list[Tensor]:
        """For each phrase (T, width of SAM's prompts)."""
        tokens = self.text_proj(self.merge_layers(lmm_outputs.hidden_states))
        rows = [(lmm_outputs.phrase_ids == phrase).nonzero().flatten() for phrase in range(lmm_outputs.num_phrases)]
        ordered = tokens[torch.cat(rows).to(tokens.device, non_blocking=True)]
        return list(ordered.split([len(own) for own in rows]))

    def merge_layers(self, hidden_states: Tensor) -> Tensor:
        """Average (L, T, D) hidden states over layers with the learned weights: (T, D)."""
        weights = self.text_layer_weights.softmax(dim=0)
        return (hidden_states * weights[:, None, None]).sum(dim=0)
