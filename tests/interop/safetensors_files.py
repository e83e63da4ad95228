# SPDX-License-Identifier: Apache-2.0
"""stepd's safetensors files in the package safetensors, and the package's in stepd.

usage: safetensors_files.py FOLDER_OF_SAFETENSORS_DRIVER CORPUS

Ends with 77 where this Python has no torch or no safetensors.
"""
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "torch"))
import need_torch  # noqa: E402,F401

import torch  # noqa: E402

try:
    import numpy
    import safetensors
    import safetensors.torch
except ImportError as missing:
    print(f"skipped: {sys.executable} has no {missing.name}; deploy/test.sh installs it beside torch")
    sys.exit(need_torch.SKIPPED)

DRIVER = pathlib.Path(sys.argv[1]) / "safetensors_driver"
CORPUS = pathlib.Path(sys.argv[2])

# What the package reads and stepd does not: safetensors.h says why.
STRICTER = {
    "hostile_dims": "dimensions",
    "hostile_key": "a key beside",
    "hostile_long_name": "too long",
    "hostile_nul": "cannot be read",
}


def driver(*arguments):
    return subprocess.run([DRIVER, *arguments], stdout=subprocess.PIPE, text=True)


def must(*arguments):
    run = driver(*arguments)
    assert run.returncode == 0, run.stdout


def dtypes():
    """Those of torch that the format has, each once."""
    found = {}
    for name in dir(torch):
        dtype = getattr(torch, name)
        if isinstance(dtype, torch.dtype):
            try:
                safetensors.torch.save({"a": filled(dtype, 2)})
            except KeyError:
                continue
            found[str(dtype)] = dtype
    return list(found.values())


def filled(dtype, bytes_, shape=None):
    """A tensor of bytes at random; those of a bool are 0 and 1."""
    top = 2 if dtype == torch.bool else 256
    try:
        flat = torch.randint(0, top, (bytes_ * 16,), dtype=torch.uint8).view(dtype)
    except RuntimeError as error:
        raise KeyError(dtype) from error
    return flat if shape is None else flat.reshape(shape)


def bits(tensor):
    return bytes(tensor.contiguous().flatten().view(torch.uint8).numpy())


def contents(path):
    """{name: (dtype, shape, bytes)} as the package reads it, and the metadata."""
    tensors = {name: (t["dtype"], tuple(t["shape"]), bytes(t["data"]))
               for name, t in safetensors.deserialize(path.read_bytes())}
    with safetensors.safe_open(path, "pt") as file:
        return tensors, file.metadata() or {}


def check_copies(scratch):
    """The package writes, stepd reads and writes, the package reads."""
    tensors = {f"of {dtype}": filled(dtype, 2 * 3, (3, -1)) for dtype in dtypes()}
    assert len(tensors) >= 15, list(tensors)
    tensors |= {"scalar": torch.tensor(2.5), "nothing": torch.zeros(0), "nothing.2": torch.zeros(4, 0, 3),
                "große Schicht/\"1\" \\ 重み": torch.randn(5, 1, 1, 2), "": torch.randn(1),
                "largest": torch.full((1,), torch.finfo(torch.float64).max, dtype=torch.float64)}
    files = [(tensors, {"format": "pt", "note": "größer als \"1\""}), (tensors, None), ({}, None)]
    for number, (some, metadata) in enumerate(files):
        theirs, ours = scratch / f"theirs{number}", scratch / f"ours{number}"
        safetensors.torch.save_file(some, theirs, metadata)
        must("copy", theirs, ours)
        assert contents(theirs) == contents(ours)
        assert contents(ours)[1] == (metadata or {})
    loaded = safetensors.torch.load_file(scratch / "ours0")
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype and loaded[name].shape == tensor.shape, name
        assert bits(loaded[name]) == bits(tensor), name
    return len(tensors)


def check_floats(scratch):
    """What stepd makes of floats of other widths is what torch makes of them."""
    numbers = [0.0, -0.0, 1.0, -1 / 3, 65504.0, 1e-7, 6e-8, 3.4e38, 1e-45, float("inf"), float("-inf")]
    real = torch.cat([torch.tensor(numbers, dtype=torch.float64), torch.randn(500, dtype=torch.float64)])
    tensors = {str(dtype): real.to(dtype)
               for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16)}
    tensors["skipped"] = torch.ones(3, dtype=torch.int32)
    path, out = scratch / "real", scratch / "floats"
    safetensors.torch.save_file(tensors, path)
    must("floats", path, out)
    with safetensors.safe_open(path, "pt") as file:
        expected = [tensors[name].float() for name in file.offset_keys() if name != "skipped"]
    assert out.read_bytes() == b"".join(bits(tensor) for tensor in expected)
    return sum(len(tensor) for tensor in expected)


def check_job(scratch):
    """A job's files open as they are: shapes of torch's own, and no float twice."""
    must("job", scratch)
    model = safetensors.torch.load_file(scratch / "model.safetensors")
    state = safetensors.torch.load_file(scratch / "optimizer.safetensors")
    shapes = {"big": (30, 50), "tiny": (4,), "two": (2, 3), "scalar": ()}
    assert {name: tuple(t.shape) for name, t in model.items()} == shapes
    slots = {f"{name}/{slot}": shape for name, shape in shapes.items() for slot in ("exp_avg", "exp_avg_sq")}
    slots["big/ema@500"] = (500,)
    assert {name: tuple(t.shape) for name, t in state.items()} == slots
    floats = torch.cat([t.flatten() for t in [*model.values(), *state.values()]])
    assert len(floats) == 3 * 1511 + 500
    assert len(numpy.unique(floats.view(torch.int32).numpy())) == len(floats)
    return len(model) + len(state)


def check_portions(scratch):
    """What two daemons write of it opens too, and is the same when stretches are put together."""
    must("job", scratch)
    checked = 0
    for stem in ("model", "optimizer"):
        whole = safetensors.torch.load_file(scratch / f"{stem}.safetensors")
        stretches = {}
        for path in sorted(scratch.glob(f"{stem}-*-of-00002.safetensors")):
            for name, tensor in safetensors.torch.load_file(path).items():
                base, mark, first = name.partition("@")
                assert tensor.dim() == 1 or not mark, name
                stretches.setdefault(base, []).append((int(first or 0), tensor))
        for base, parts in stretches.items():
            joined = torch.cat([tensor.flatten() for _, tensor in sorted(parts, key=lambda at: at[0])])
            expected = whole[base if base in whole else f"{base}@{parts[0][0]}"]
            assert bits(joined) == bits(expected), base
            checked += len(parts)
        assert len(stretches) == len(whole)
    return checked


def check_hostile(scratch):
    """What the package refuses, stepd refuses; what it reads, stepd reads, but for STRICTER."""
    paths = sorted(CORPUS.iterdir())
    stricter = set()
    for path in paths:
        try:
            safetensors.deserialize(path.read_bytes())
            readable = True
        except safetensors.SafetensorError:
            readable = False
        run = driver("floats", path, scratch / "floats")
        if readable and run.returncode != 0:
            assert STRICTER.get(path.name, "no reason") in run.stdout, run.stdout
            stricter.add(path.name)
        else:
            assert readable == (run.returncode == 0), f"{path.name}: {run.stdout}"
    assert stricter == set(STRICTER), stricter
    return len(paths)


def main():
    seed = 20
    torch.manual_seed(seed)
    print(f"safetensors {safetensors.__version__}, seed {seed}")
    for check in (check_copies, check_floats, check_job, check_portions, check_hostile):
        with tempfile.TemporaryDirectory() as scratch:
            checked = check(pathlib.Path(scratch))
        assert checked > 0
        print(f"{check.__name__}: {checked}")


if __name__ == "__main__":
    main()
