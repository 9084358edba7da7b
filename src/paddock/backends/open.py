"""Open whatever answers prompts, or scores answers, from what names it (`spec`). Heavy packages are imported on the way."""

from __future__ import annotations

from paddock.backends.configured import Configured
from paddock.backends.spec import (
    EndpointSpec,
    LocalSpec,
    ModelSpec,
    RepliesSpec,
    Spec,
    TransformersSpec,
    VllmSpec,
    read_spec,
)
from paddock.errors import UnsupportedError
from paddock.protocols import ChatModel, Scorer


def open_chat_model(spec: Spec) -> ChatModel:
    """The chat model that `spec` names, with its system prompt and its sampling where it has some.

    Raises SettingsError or DataError for a spec that cannot be, MissingExtraError, and what opening raises: CheckpointError
    for a folder without a model, PaddockError for a name that transformers does not know.
    """
    read = read_spec(spec)
    model = _opened(read)
    return model if isinstance(read, RepliesSpec) else Configured.of(model, read.system_prompt, read.sampling)


def _opened(spec: ModelSpec) -> ChatModel:
    match spec:
        case LocalSpec():
            from paddock.backends.local import open_local_model

            return open_local_model(spec.model)
        case TransformersSpec():
            from paddock.backends.transformers_model import TransformersChatModel

            return TransformersChatModel.open(spec)
        case EndpointSpec():
            from paddock.backends.endpoint import Endpoint

            return Endpoint(spec)
        case VllmSpec():
            from paddock.backends.vllm_model import VllmChatModel

            return VllmChatModel.open(spec)
        case RepliesSpec():
            from paddock.backends.ready_replies import ReadyReplies

            return ReadyReplies.read(spec.replies)


def open_scorer(spec: Spec) -> Scorer:
    """The scorer that `spec` names: a reward model's folder, or a sequence classifier of transformers.

    Raises UnsupportedError for a spec of another kind, and otherwise as `open_chat_model`.
    """
    read = read_spec(spec)
    if isinstance(read, LocalSpec):
        from paddock.backends.local import open_local_scorer

        return open_local_scorer(read.model)
    if isinstance(read, TransformersSpec):
        from paddock.backends.transformers_model import TransformersScorer

        return TransformersScorer.open(read)
    raise UnsupportedError(f"a model of kind {read.kind} scores nothing: a scorer is of kind local or transformers")
