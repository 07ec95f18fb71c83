"""Classes that insist on an image, without one: their text model, as their own `generate()` has it answer a prompt."""

from __future__ import annotations

from typing import Any, Final

PROMPTED: Final = ("blip-2", "instructblip", "instructblipvideo")


def embedded(text: Any, ids: Any) -> tuple[Any, Any]:
    """Embeddings of the prompt, and where images are in it, both of which stay
    (Blip2ForConditionalGeneration.generate)."""
    return text.get_input_embeddings()(ids), (ids == 0).unsqueeze(-1)


class Prompted:
    """A text model that is given a copy of its embedded prompt (generation/utils.py, prepare_inputs_for_generation)."""

    def __init__(self, whole: Any) -> None:
        self._text = whole.language_model
        self.kept: tuple[Any, ...] = ()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._text, name)

    def __call__(self, *, input_ids: Any, past_key_values: Any = None, **options: Any) -> Any:
        if past_key_values is not None:
            return self._text(input_ids=input_ids, past_key_values=past_key_values, **options)
        self.kept = embedded(self._text, input_ids)
        return self._text(inputs_embeds=self.kept[0].clone(), **options)
