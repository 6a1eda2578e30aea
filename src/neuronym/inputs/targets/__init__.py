"""Networks under study, one file per source.

| file | what it opens |
|---|---|
| `efficientnet_lite.py` | `efficientnet-lite0`, `1`, `2`: embedded, no download |
| `torchvision_models.py` | `torchvision:NAME`, and short names such as `resnet50` |
| `timm_models.py` | `timm:NAME` |
| `hf_models.py` | `hf:REPO_OR_PATH` |
| `python_function.py` | `python:MODULE:FUNCTION` |
| `base.py` | what a target is; any torch module made in Python |
| `weights.py` | weights from files, verified |
"""
