"""Torchvision's networks without their last layer: what is left is what the layer was given, and weights fit or are refused in words."""

import hashlib
import io
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision import models

from workbench.problems import Problem
from workbench.torchkit import backbone

SMALL = [
    "mobilenet_v2",
    "squeezenet1_1",
    "resnet18",
    "mobilenet_v3_small",
    "mnasnet0_5",
    "shufflenet_v2_x0_5",
    "regnet_y_400mf",
    "densenet121",
]


@pytest.mark.parametrize("name", [*SMALL, "googlenet", "efficientnet_b0"])
def test_features_are_what_the_last_layer_was_given(name: str) -> None:
    torch.manual_seed(0)
    built = backbone.build(name, "random")
    pixels = torch.rand(2, 3, 64, 64)
    found = built(pixels)
    assert found.shape == (2, built.width)
    assert not built.training and not any(each.requires_grad for each in built.parameters())
    answers = built.imagenet(pixels)
    assert answers.shape == (2, 1000)
    assert torch.equal(built(pixels), found)  # the layer is off again
    if isinstance(built.last, nn.Linear):
        assert torch.allclose(built.last(found), answers, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "googlenet", "inception_v3", "mobilenet_v2"])
def test_a_file_of_torchvision_s_own_network_is_that_network(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    extra: dict[str, Any] = {"transform_input": True, "init_weights": False} if name in ("googlenet", "inception_v3") else {}
    network = models.get_model(name, weights=None, **extra).eval()
    state = network.state_dict()
    if name == "densenet121":  # as the file of 2017 has them
        state = {key.replace("norm1", "norm.1").replace("conv2", "conv.2"): value for key, value in state.items()}
    state = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "w.pth")
    built = backbone.build(name, tmp_path / "w.pth")
    pixels = torch.rand(2, 3, 96, 96)
    scaled = (pixels - torch.tensor(backbone.MEAN).view(3, 1, 1)) / torch.tensor(backbone.DEVIATION).view(3, 1, 1)
    with torch.no_grad():
        assert torch.allclose(built.imagenet(pixels), network(scaled), atol=1e-4, rtol=1e-3)


def test_what_is_tuned_is_what_stands_behind_the_layer() -> None:
    built = backbone.build("resnet18", "random")
    assert built.layers()[:3] == ["conv1", "bn1", "layer1"] and "layer4.1" in built.layers() and "relu" not in built.layers()
    for first, wanted in (("layer4", {"layer4"}), ("layer3.1", {"layer3", "layer4"}), ("", set())):
        built.tune_from(first)
        names = {name for name, each in built.network.named_parameters() if each.requires_grad}
        assert {name.split(".")[0] for name in names} == wanted
        assert not any(name.startswith("layer3.0") for name in names)
    built.tune_from("conv1")
    assert all(each.requires_grad for each in built.network.parameters())


def test_files_that_are_no_weights_of_this_network(tmp_path: Path) -> None:
    right = models.squeezenet1_1(weights=None).state_dict()
    cases: dict[str, tuple[Any, str]] = {
        "missing": ({key: each for key, each in right.items() if key != "features.0.bias"}, "has no features.0.bias, so it is not a state"),
        "shape": ({**right, "features.0.bias": torch.zeros(3)}, "features.0.bias is 3, where squeezenet1_1 has 64"),
        "list": ([1, 2], "holds no state_dict"),
        "number": ({**right, "features.0.bias": 3}, "holds no state_dict"),
        "another": (models.resnet18(weights=None).state_dict(), "has no features.0.weight, so it is not a state_dict of squeezenet1_1"),
    }
    for name, (content, says) in cases.items():
        torch.save(content, tmp_path / f"{name}.pth")
        with pytest.raises(Problem, match=says) as caught:
            backbone.build("squeezenet1_1", tmp_path / f"{name}.pth")
        assert caught.value.cause == "data" and "\n" not in str(caught.value)
    (tmp_path / "page.pth").write_bytes(b"<html>404</html>")
    for path, says in ((tmp_path / "page.pth", "damaged, or does not hold weights"), (tmp_path / "none.pth", "No such file")):
        with pytest.raises(Problem, match=says):
            backbone.build("squeezenet1_1", path)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes, bytes], list[str]]]:
    """Serve a body where torchvision is said to have weights whose hash is that of another; returns the list of what was asked for."""
    monkeypatch.delenv("DLWB_MIRROR", raising=False)
    bodies: list[bytes] = []
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200 if bodies[-1] else 404)
            self.send_header("Content-Length", str(len(bodies[-1])))
            self.end_headers()
            self.wfile.write(bodies[-1])

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def serve(body: bytes, right: bytes) -> list[str]:
        bodies.append(body)
        file = f"squeezenet1_1-{hashlib.sha256(right).hexdigest()[:8]}.pth"
        monkeypatch.setattr(backbone, "address", lambda name: f"http://127.0.0.1:{server.server_port}/models/{file}")
        return asked

    yield serve
    server.shutdown()
    server.server_close()


def test_published_weights_are_fetched_once_and_checked(served: Callable[[bytes, bytes], list[str]], home: Path) -> None:
    out = io.BytesIO()
    state = models.squeezenet1_1(weights=None).state_dict()
    torch.save(state, out)
    body = out.getvalue()
    served(body[:-1] + b"x", body)
    with pytest.raises(Problem, match="its SHA-256 begins"):
        backbone.build("squeezenet1_1", "published")
    served(b"", body)
    with pytest.raises(Problem, match=r"127\.0\.0\.1 answered 404"):
        backbone.build("squeezenet1_1", "published")
    assert list(home.rglob("*.pth")) == []
    asked = served(body, body)
    before = len(asked)
    for _ in range(2):
        built = backbone.build("squeezenet1_1", "published")
        assert torch.equal(built.network.features[0].weight, state["features.0.weight"])
    assert len(asked) == before + 2  # how long it is, and it
    # A file that was changed since is not taken.
    [path] = home.rglob("*.pth")
    path.write_bytes(body[:-1] + b"x")
    with pytest.raises(Problem, match="Delete it, and it is fetched again"):
        backbone.build("squeezenet1_1", "published")


def test_every_network_of_torchvision_has_weights_whose_name_holds_their_hash() -> None:
    known = models.list_models(module=models)
    assert len(known) >= 80
    for name in known:
        url = backbone.address(name)
        assert url.startswith("https://download.pytorch.org/models/") and backbone.HASHED.search(url), name


def test_the_stand_in_names_flowers_and_cats_of_imagenet(mirror: Path) -> None:
    """Four of the mirror's dogs, by ImageNet's own classes: 151 to 268 are dogs."""
    from workbench.datasets import photos

    built = backbone.build("mobilenet_v2", "stand-in")
    pixels = photos.read("dogs:21-breeds", 160).parts[2][0][:8]
    with torch.no_grad():
        answers = built.imagenet(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255).argmax(1)
    assert ((answers >= 151) & (answers <= 268)).float().mean() > 0.8


def test_a_network_that_is_cut_ends_after_that_layer() -> None:
    torch.manual_seed(0)
    whole = backbone.build("resnet18", "random")
    cut = backbone.Backbone("resnet18", whole.network, "layer3")
    pixels = torch.rand(2, 3, 64, 64)
    outputs = {}
    hook = whole.network.layer3.register_forward_hook(lambda layer, given, out: outputs.update(out=out))  # type: ignore[union-attr, operator]
    whole(pixels)
    hook.remove()
    found = cut(pixels)
    assert found.shape == (2, 256) and cut.width == 256
    assert torch.allclose(found, outputs["out"].mean((2, 3)))
    assert not whole.network.layer3._forward_hooks  # type: ignore[union-attr]
    cut.tune_from("layer3")
    with pytest.raises(Problem, match="resnet18 is cut after layer3, so it cannot be fine-tuned from layer4 on"):
        cut.tune_from("layer4")
    with pytest.raises(Problem, match=r"resnet18 has no layer 'layer9' to be cut after\. It has: conv1, "):
        backbone.build("resnet18", "random", "layer9")
