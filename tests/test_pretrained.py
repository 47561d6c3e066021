"""Frozen networks: the published layer names and shapes, and weights fetched over HTTP, read from files, or refused."""

import hashlib
import io
import pickle
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from torch import nn

from workbench.datasets.store import catalog
from workbench.problems import Problem
from workbench.torchkit import pretrained

# Configuration E of Simonyan and Zisserman (2015), table 1: layer, channels; a pool halves the picture after each block.
VGG19 = """
conv1_1 64  conv1_2 64
conv2_1 128 conv2_2 128
conv3_1 256 conv3_2 256 conv3_3 256 conv3_4 256
conv4_1 512 conv4_2 512 conv4_3 512 conv4_4 512
conv5_1 512 conv5_2 512 conv5_3 512 conv5_4 512
"""
# By torchvision's listing of VGG-19's features: where those convolutions stand.
VGG19_CONVOLUTIONS = [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]

# Iandola et al. (2016), table 1: layer, channels, side for a picture of 224 x 224. Torchvision's first layer has no padding, so that its
# sides are 109 and 54 where the paper has 111 and 55.
SQUEEZENET = {
    "conv1": (96, 109),
    "fire2": (128, 54),
    "fire3": (128, 54),
    "fire4": (256, 54),
    "fire5": (256, 27),
    "fire6": (384, 27),
    "fire7": (384, 27),
    "fire8": (512, 27),
    "fire9": (512, 13),
}


def shapes(network: str, height: int, width: int) -> dict[str, tuple[int, ...]]:
    """What comes out of each named layer for a picture of that size, by forward hooks."""
    known = pretrained.layers(network)
    cut = pretrained.frozen(network, "random", max(known.values()))
    found: dict[str, tuple[int, ...]] = {}
    for name, index in known.items():
        cut[index].register_forward_hook(lambda module, given, out, name=name: found.update({name: tuple(out.shape[1:])}))
    cut(torch.zeros(1, 3, height, width))
    return found


def test_vgg19_s_layers_are_those_of_the_paper() -> None:
    words = VGG19.split()
    channels = dict(zip(words[::2], map(int, words[1::2]), strict=True))
    reductions = {name: 2 ** (int(name[4]) - 1) for name in channels}
    assert shapes("vgg19", 64, 96) == {name: (channels[name], 64 // reductions[name], 96 // reductions[name]) for name in channels}


def test_vgg19_s_layers_stand_where_torchvision_has_them() -> None:
    from torchvision.models import vgg19

    with torch.device("meta"):
        features = vgg19(weights=None).features
    known = pretrained.layers("vgg19")
    assert [index - 1 for index in known.values()] == VGG19_CONVOLUTIONS
    assert all(isinstance(features[index], nn.Conv2d) for index in VGG19_CONVOLUTIONS)
    # The course's picture of them: style at 0, 5, 10, 19, 28, content at 21.
    assert [known[f"conv{block}_1"] - 1 for block in range(1, 6)] == [0, 5, 10, 19, 28]
    assert known["conv4_2"] - 1 == 21


def test_squeezenet_s_layers_are_those_of_the_paper() -> None:
    expected = {name: (channels, side, side) for name, (channels, side) in SQUEEZENET.items()}
    assert shapes("squeezenet1_0", 224, 224) == expected


@pytest.mark.parametrize("network", ["vgg19", "squeezenet1_0"])
def test_what_is_tapped_went_through_its_relu_and_nothing_learns(network: str) -> None:
    torch.manual_seed(0)
    cut = pretrained.frozen(network, "random", pretrained.layers(network)["conv1_1" if network == "vgg19" else "conv1"])
    picture = torch.randn(1, 3, 40, 40)
    assert torch.equal(cut(picture), nn.functional.conv2d(picture, cut[0].weight, cut[0].bias, cut[0].stride, cut[0].padding).relu())
    assert not cut.training
    assert not any(each.requires_grad for each in cut.parameters())


# -- weights ---------------------------------------------------------------------------------------------------------------------


def state_dict() -> dict[str, torch.Tensor]:
    """VGG-19's first two convolutions, as torchvision names them, and a layer that no picture goes through."""
    shapes = {"features.0": (64, 3, 3, 3), "features.2": (64, 64, 3, 3), "classifier.6": (10, 4)}
    generator = torch.Generator().manual_seed(0)
    made = {f"{name}.weight": torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    return {**made, **{f"{name}.bias": torch.randn(shape[0], generator=generator) for name, shape in shapes.items()}}


def saved(content: Any, **how: Any) -> bytes:
    out = io.BytesIO()
    torch.save(content, out, **how)
    return out.getvalue()


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[str]]]:
    """Serve `body` as VGG-19's weights, which the catalogue then describes as `pinned`; returns the list of what was asked for."""
    monkeypatch.delenv("DLWB_MIRROR", raising=False)
    bodies: list[bytes] = []
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(bodies[-1])

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    real = catalog.catalog()

    def serve(body: bytes, pinned: bytes | None = None) -> list[str]:
        right = pinned if pinned is not None else body
        bodies.append(body)
        file = msgspec.structs.replace(
            real["vgg19-weights"].files["weights"],
            url=f"http://127.0.0.1:{server.server_port}/models/vgg19-dcbb9e9d.pth",
            bytes=len(right),
            sha256=hashlib.sha256(right).hexdigest(),
        )
        replaced = msgspec.structs.replace(real["vgg19-weights"], files={"weights": file})
        monkeypatch.setattr(catalog, "catalog", lambda: {**real, "vgg19-weights": replaced})
        return asked

    yield serve
    server.shutdown()
    server.server_close()


# torchvision's file of 2017 has the format that came before zip.
@pytest.mark.parametrize("how", [{}, {"_use_new_zipfile_serialization": False}])
def test_weights_are_fetched_once_and_loaded(served: Callable[..., list[str]], how: dict[str, Any]) -> None:
    asked = served(saved(state_dict(), **how))
    for _ in range(2):
        cut = pretrained.frozen("vgg19", "published", 3)
        assert torch.equal(cut[0].weight, state_dict()["features.0.weight"])
        assert torch.equal(cut[2].bias, state_dict()["features.2.bias"])
    assert asked == ["/models/vgg19-dcbb9e9d.pth"]
    assert not any(each.requires_grad for each in cut.parameters())


@pytest.mark.parametrize(
    ("change", "says"),
    [(lambda body: body[:-1] + bytes([body[-1] ^ 1]), "SHA-256"), (lambda body: body[:1000], "1,000 of the")],
    ids=["another file", "cut short"],
)
def test_what_a_server_sends_is_checked(served: Callable[..., list[str]], home: Path, change: Callable[[bytes], bytes], says: str) -> None:
    body = saved(state_dict())
    served(change(body), body)
    with pytest.raises(Problem, match=says) as caught:
        pretrained.frozen("vgg19", "published", 3)
    assert caught.value.cause == "data"
    assert list(home.rglob("*.pth")) == []
    # And the next attempt, at a server that has it, succeeds.
    served(body)
    pretrained.frozen("vgg19", "published", 3)


class Bomb:
    """A pickle that would make a file where it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_files_that_are_no_weights_of_this_network(tmp_path: Path) -> None:
    right = state_dict()
    wrong = {
        "missing": ({key: value for key, value in right.items() if key != "features.2.bias"}, "has no features.2.bias"),
        "shape": ({**right, "features.0.weight": torch.zeros(64, 3, 5, 5)}, "64 x 3 x 5 x 5, where vgg19 has 64 x 3 x 3 x 3"),
        "list": ([1, 2], "has no features.0.weight"),
        "number": ({**right, "features.0.weight": 3}, "has no features.0.weight"),
    }
    cases = {name: (saved(content), says) for name, (content, says) in wrong.items()}
    whole = saved(right)
    cases["cut short"] = (whole[: len(whole) // 2], "damaged, or does not hold weights")
    cases["old and cut short"] = (saved(right, _use_new_zipfile_serialization=False)[:-4], "damaged, or does not hold weights")
    cases["empty"] = (b"", "damaged, or does not hold weights")
    cases["page"] = (b"<html><body>404</body></html>", "damaged, or does not hold weights")
    cases["bomb"] = (pickle.dumps(Bomb(tmp_path / "exploded"), protocol=2), "damaged, or does not hold weights")
    cases["saved bomb"] = (saved({"features.0.weight": Bomb(tmp_path / "exploded")}), "damaged, or does not hold weights")
    for name, (body, says) in cases.items():
        path = tmp_path / f"{name}.pth"
        path.write_bytes(body)
        with pytest.raises(Problem, match=says) as caught:
            pretrained.frozen("vgg19", path, 3)
        assert caught.value.cause == "data", name
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "exploded").exists()
    for path, says in ((tmp_path / "none.pth", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(Problem, match=says):
            pretrained.frozen("vgg19", path, 3)


def test_half_precision_weights_are_read_as_float32(tmp_path: Path) -> None:
    torch.save({key: value.half() for key, value in state_dict().items()}, tmp_path / "half.pth")
    assert pretrained.frozen("vgg19", tmp_path / "half.pth", 3)[0].weight.dtype == torch.float32


def test_squeezenet_s_weights_of_the_mirror(mirror: Path) -> None:
    cut = pretrained.frozen("squeezenet1_0", "published", 12)
    assert cut(torch.zeros(1, 3, 64, 64)).isfinite().all()
    assert pretrained.variant("squeezenet1_0", "published") == "SqueezeNet 1.0 (Deep Compression) in place of VGG-19"
    assert pretrained.variant("vgg19", "published") == ""
