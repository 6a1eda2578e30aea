"""Encoders of open_clip: published weights by tag, or a checkpoint of one's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from neuronym._core.checks import Verbatim, choice, missing_extra, misuse, nearest
from neuronym._core.errors import NeuronymError
from neuronym._core.hub import hub
from neuronym._core.registry import Name, known_params, write
from neuronym._core.torchvision_compat import prepare_torchvision
from neuronym.inputs.encoders._clip_text import text_function
from neuronym.inputs.encoders._tokenizers import of_tokenizer, reads
from neuronym.inputs.encoders.base import CLIP_LOGIT_SCALE, ENCODERS, Encoder
from neuronym.inputs.encoders.dual import DualEncoder
from neuronym.inputs.preprocess.published import from_open_clip
from neuronym.inputs.targets.weights import read_weights

_OTHERWISE = (
    "Without the hub, give the weights as a file (open-clip:ARCH/TAG,weights=FILE), or use the "
    "embedded encoder: sketch."
)
_NO_TOKENIZER = "Without the hub, use an architecture with CLIP's own tokenizer, or sketch."
_PREPROCESSING = ("mean", "std", "interpolation", "resize_mode")

ENCODERS.alias("clip", "open-clip:ViT-B-16/openai")


@dataclass(frozen=True)
class _Source:
    """What an open-clip name means: a model, its weights and how it was trained."""

    model: str
    tag: str | None = None
    file: Path | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    quick_gelu: bool | None = None
    note: str = ""


@ENCODERS.register(
    "open-clip",
    syntax="open-clip:ARCH/PRETRAINED",
    example="open-clip:ViT-B-16/openai",
    extra="open-clip",
)
def open_clip_encoder(name: Name) -> Encoder:
    """A model of open_clip (CLIP, SigLIP, CoCa, …) by tag, checkpoint file or folder.

    ARCH is an architecture of open_clip and PRETRAINED one of its tags or a path. With both a tag
    and `weights=FILE`, the file's weights are used with the preprocessing and activation function
    that the tag states. Alternatively the whole detail is a folder with `open_clip_config.json`.

    Args:
        name: parameters are `weights` (a file) and `quick_gelu` (true or false).

    Raises:
        UsageError: unknown architecture, tag, parameter or file.
        NeuronymError: weights that cannot be fetched, read or fitted; open_clip is missing.

    Reference: Ilharco et al. 2021, OpenCLIP; Radford et al. 2021 (CLIP); Zhai et al. 2023 (SigLIP).
    """
    prepare_torchvision()
    try:
        import open_clip
    except ImportError:
        raise missing_extra("The encoder open-clip", "open-clip-torch", "open-clip") from None
    known_params(name, "weights", "quick_gelu")
    source = _read(name)
    if source.file is None and source.tag is not None:
        with hub(f"The weights {source.tag!r} of {source.model}", _OTHERWISE):
            config = open_clip.get_pretrained_cfg(source.model, source.tag)
            source = _with_file(source, open_clip.download_pretrained(config))
    model = _load(source)
    with hub(f"The tokenizer of {source.model}", _NO_TOKENIZER):
        tokenizer = open_clip.get_tokenizer(source.model)
    configuration = open_clip.get_model_config(source.model)
    quick = source.quick_gelu
    sigmoid = getattr(model, "logit_bias", None) is not None or "siglip" in source.model.lower()
    return DualEncoder(
        write(name),
        model,
        from_open_clip(model.visual.preprocess_cfg),
        images=model.encode_image,
        texts=text_function(model, tokenizer),
        settings={
            "library": "open_clip",
            "configuration": configuration,
            "quick_gelu": bool(configuration.get("quick_gelu")) if quick is None else quick,
            "tokenizer": of_tokenizer(tokenizer),
            "max_tokens": tokenizer.context_length,
        },
        logit_scale=None if sigmoid else CLIP_LOGIT_SCALE,
        max_tokens=tokenizer.context_length,
        note=source.note,
        reads=partial(reads, tokenizer),
    )


def _read(name: Name) -> _Source:
    """The meaning of a name, with architecture and tag checked."""
    import open_clip

    quick = _flag(name)
    folder = Path(name.detail).expanduser() if name.detail else None
    own = folder is not None and (folder / "open_clip_config.json").is_file()
    if (own or name.detail.startswith("hf-hub:")) and "weights" in name.params:
        raise misuse("weights", "left out where a folder or repository brings its own", write(name))
    if name.detail.startswith("hf-hub:"):
        return _Source(name.detail, quick_gelu=quick)
    if own and folder is not None:
        weights = sorted(folder.glob("*.safetensors"))
        for file in weights or [*folder.glob("*.bin"), *folder.glob("*.pth")]:
            _verified(str(file))
        return _Source(f"local-dir:{folder}", quick_gelu=quick)
    arch, _, pretrained = name.detail.partition("/")
    if arch not in open_clip.list_models():
        near = nearest(arch, open_clip.list_models(), limit=5)
        raise misuse(
            "encoder",
            "name an architecture of open_clip, or a folder with open_clip_config.json",
            arch or name.detail,
            f"Nearest: {', '.join(near)}." if near else "Example: open-clip:ViT-B-16/openai.",
        )
    tag = pretrained if open_clip.is_pretrained_cfg(arch, pretrained) else None
    path = name.params.get("weights") or (None if tag else pretrained)
    if tag is None and "weights" in name.params and pretrained:
        raise _unknown_tag(arch, pretrained)
    if path and tag is None and "weights" not in name.params and not _looks_like_a_file(path):
        raise _unknown_tag(arch, pretrained)
    if not path and tag is None:
        raise misuse(
            "encoder", "name weights: open-clip:ARCH/PRETRAINED", Verbatim(write(name)), _tags(arch)
        )
    source = _stated(arch, tag, quick)
    return _with_file(source, _verified(path)) if path else source


def _stated(arch: str, tag: str | None, quick: bool | None) -> _Source:
    """What the tag says of preprocessing and activation; without one, what all tags agree on."""
    import open_clip

    tags = [tag] if tag else open_clip.list_pretrained_tags_by_model(arch)
    stated = [open_clip.get_pretrained_cfg(arch, each) for each in tags]
    settings = {}
    for key in _PREPROCESSING:
        values = {each.get(key) for each in stated}
        if len(values) == 1 and None not in values:
            settings[key] = values.pop()
    note = ""
    activations = {bool(each.get("quick_gelu")) for each in stated}
    if quick is None and tag:
        quick = activations.pop()
    elif quick is None and len(activations) > 1:
        note = (
            f"The weights are read as trained with GELU; if they were trained with QuickGELU, as "
            f"OpenAI's were, name the tag too or write quick_gelu=true ({arch} exists in both)."
        )
    return _Source(arch, tag, None, settings, quick, note)


def _verified(path: str) -> str:
    """The path of a file that holds weights and nothing that could run."""
    if not path.endswith(".npz"):  # SigLIP's first form, which numpy reads without unpickling
        read_weights(path)
    return str(Path(path).expanduser())


def _with_file(source: _Source, file: str) -> _Source:
    return _Source(
        source.model, source.tag, Path(file), source.settings, source.quick_gelu, source.note
    )


def _load(source: _Source) -> Any:
    import open_clip

    options: dict[str, Any] = {"force_preprocess_cfg": source.settings, "weights_only": True}
    if source.file:
        options["pretrained"] = str(source.file)
    if source.quick_gelu is not None:
        options["quick_gelu"] = source.quick_gelu
    folder = source.model.startswith("local-dir:")
    try:
        with hub(f"The model {source.model}", _OTHERWISE):
            return open_clip.create_model(source.model, require_pretrained=True, **options)
    except NeuronymError as error:
        cause = error.__cause__
        # Anything but a failed download: the file's tensors are not those of this architecture.
        if (source.file or folder) and not isinstance(cause, OSError | ImportError):
            shown = source.file or source.model.removeprefix("local-dir:")
            raise NeuronymError(
                f"The weights in {shown} do not fit {source.model}: {_misfit(cause)}"
            ) from cause
        raise


def _misfit(error: BaseException | None) -> str:
    """The first concrete complaint of `load_state_dict`."""
    lines = [line.strip() for line in str(error).splitlines()]
    lines = [line for line in lines if line and "Error(s) in loading" not in line]
    text = lines[0] if lines else type(error).__name__
    return (text if len(text) <= 160 else text[:159] + "…").rstrip(". ") + "."


def _flag(name: Name) -> bool | None:
    value = name.params.get("quick_gelu")
    if value is None:
        return None
    return choice("quick_gelu", value.lower(), ("true", "false")) == "true"


def _looks_like_a_file(path: str) -> bool:
    suffixes = (".pt", ".pth", ".bin", ".safetensors", ".ckpt", ".npz")
    return Path(path).expanduser().is_file() or "/" in path or path.endswith(suffixes)


def _unknown_tag(arch: str, tag: str) -> Exception:
    return misuse("encoder", f"name a tag of {arch} or a weights file", tag, _tags(arch))


def _tags(arch: str) -> str:
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(arch)
    return f"Tags: {', '.join(tags)}." if tags else f"open_clip has no tags for {arch}."
