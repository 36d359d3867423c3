"""Named data sets: local parquet, the hub, and the real thing where it is at hand."""

from __future__ import annotations

import http.server
import socket
import threading

import datasets
import pytest
import torch

from studyhall.envs.errors import DataError
from studyhall.envs.streams import load_dataset, named

from .making import SPLITS, check_invariants, fake_pictures, fault, picture_bytes, same


def test_local_parquet_is_decoded_exactly(fake_mnist):
    data = load_dataset("mnist", data_dir=fake_mnist)
    check_invariants(data)
    assert [len(data.split(name)) for name in SPLITS] == [80, 20, 20]
    assert data.shape == (1, 28, 28)
    truth = {}
    for seed, n in ((0, 60), (1, 40)):
        truth |= {pixels.tobytes(): i % 10 for i, pixels in enumerate(fake_pictures(n, seed))}
    seen = {}
    for name in ("stream", "exam"):
        split = data.split(name)
        seen |= {x.numpy().tobytes(): int(y) for x, y in zip(split.x, split.y, strict=True)}
    assert seen == truth
    assert torch.equal(
        data.test.x[:, 0], torch.from_numpy(fake_pictures(20, 2))[torch.arange(20).view(2, 10).T.flatten()]
    )
    first = data.inputs("test", torch.arange(20))
    torch.testing.assert_close(first, (data.test.x.float() / 255 - 0.1307) / 0.3081)


def test_local_parquet_in_colour(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDYHALL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STUDYHALL_DATA", str(tmp_path))
    pictures = fake_pictures(300, 0, (32, 32, 3))
    names = datasets.Features(
        {
            "img": datasets.Image(),
            "fine_label": datasets.ClassLabel(names=[f"kind {c}" for c in range(100)]),
            "coarse_label": datasets.Value("int64"),
        }
    )
    for part in ("train", "test"):
        rows = {
            "img": [{"bytes": picture_bytes(pixels), "path": None} for pixels in pictures],
            "fine_label": [i % 100 for i in range(300)],
            "coarse_label": [0] * 300,
        }
        (tmp_path / "cifar100").mkdir(exist_ok=True)
        datasets.Dataset.from_dict(rows, features=names).to_parquet(tmp_path / "cifar100" / f"{part}.parquet")
    data = load_dataset("cifar100", exam_size=100)
    assert data.shape == (3, 32, 32)
    assert data.classes[42] == "kind 42"
    assert data.mean.shape == (3, 1, 1)
    expected = torch.from_numpy(pictures[[0, 100, 200]]).permute(0, 3, 1, 2)
    assert torch.equal(data.test.x[:3], expected)
    torch.testing.assert_close(
        data.inputs("test", torch.arange(3)), (expected / 255 - data.mean) / data.std, rtol=1e-5, atol=1e-6
    )


def test_local_parquet_needs_no_network(fake_mnist, monkeypatch):
    asked = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: asked.append(a))
    load_dataset("mnist", data_dir=fake_mnist)
    assert asked == []


def test_folder_names_are_no_patterns(fake_mnist, tmp_path):
    odd = fake_mnist.rename(tmp_path / "data [1] *")
    assert len(load_dataset("mnist", data_dir=odd).test) == 20


@pytest.mark.slow
def test_real_mnist(real_data):
    data = load_dataset("mnist")
    check_invariants(data)
    assert [len(data.split(name)) for name in SPLITS] == [48_000, 12_000, 10_000]
    assert data.test.counts.tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    train = data.stream.counts + data.exam.counts
    assert train.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    inputs = data.inputs("stream", torch.arange(0, 48_000, 16))
    assert abs(inputs.mean().item()) < 0.02
    assert abs(inputs.std().item() - 1) < 0.02


@pytest.mark.slow
def test_real_cifar100(real_data):
    data = load_dataset("cifar100")
    check_invariants(data)
    assert [len(data.split(name)) for name in SPLITS] == [40_000, 10_000, 10_000]
    assert data.test.counts.tolist() == [100] * 100
    assert data.classes[0] == "apple"
    inputs = data.inputs("stream", torch.arange(0, 40_000, 16))
    assert abs(inputs.mean().item()) < 0.03
    assert abs(inputs.std().item() - 1) < 0.03


def test_unreachable_hub(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDYHALL_CACHE", str(tmp_path))
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    before = datasets.config.HF_HUB_OFFLINE
    advice = "set STUDYHALL_DATA or data_dir"
    fault(
        rf"hub \(no answer from http://127\.0\.0\.1:9, and no copy was fetched before\): {advice}", "cifar10"
    )
    assert datasets.config.HF_HUB_OFFLINE is before
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    fault(rf"hub \(HF_HUB_OFFLINE forbids to ask, and no copy was fetched before\): {advice}", "cifar10")


def test_hub_is_decoded_by_the_same_code(tmp_path, monkeypatch, fake_mnist):
    files = {part: str(fake_mnist / "mnist" / f"{part}*.parquet") for part in ("train", "test")}
    fetched = datasets.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "hf"))
    monkeypatch.setattr(named, "open_hub", lambda repository: {"ylecun/mnist": fetched}[repository])
    from_hub = load_dataset("mnist")
    monkeypatch.setattr(
        named, "open_hub", lambda repository: pytest.fail("the cache should have served this")
    )
    assert same(from_hub, load_dataset("mnist"))
    assert same(from_hub, load_dataset("mnist", data_dir=fake_mnist))


def test_a_hub_that_answers_is_asked(tmp_path, monkeypatch):
    """Anything that answers, here with an error; what is wrong is then what `datasets` says."""

    class Busy(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_error(404)

        do_GET = do_HEAD  # noqa: N815  # the name is looked up

        def log_message(self, *_):
            pass

    monkeypatch.setenv("STUDYHALL_CACHE", str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Busy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        monkeypatch.setattr(datasets.config, "HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(DataError) as caught:
            load_dataset("cifar10")
    finally:
        server.shutdown()
        server.server_close()
    assert "no answer" not in str(caught.value)
    assert "cannot get uoft-cs/cifar10 from the Hugging Face hub (" in str(caught.value)
