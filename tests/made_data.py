"""Small made-up data in the format of every data set of the catalogue, and a catalogue that knows it: recipes run without a mirror.

    with made_data(folder):      # a mirror in `folder`
        recipe.read()            # the shipped readers find, check, unpack and read it

`SETS` has a generator for each data set by its catalogue name. The numbers mean nothing; the formats, the folders inside archives and
the columns are the real ones. `SMALLER` lists what readers insist on, or measure on, that would make a small set slow.
"""

import contextlib
import gzip
import hashlib
import io
import json
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import numpy as np
import torch
from PIL import Image

from workbench.datasets import bike_baselines, facades, housing
from workbench.datasets.store import catalog as catalogue

SMALLER: dict[str, Any] = {
    "workbench.datasets.mnist.TRAIN": 240,
    "workbench.datasets.mnist.TEST": 120,
    "workbench.datasets.mnist.VALID": 60,
    "workbench.datasets.imdb.SPLITS": {
        "train": slice(0, 200),
        "valid": slice(200, 240),
        "set_aside": slice(240, 260),
        "test": slice(260, 300),
    },
    "workbench.datasets.review_lines.TEST": 60,
    "workbench.datasets.letter_pairs.HELD_OUT": 40,
    "workbench.datasets.sentence_pairs.HELD_OUT": 40,
    "workbench.datasets.text.PYTHON_LIMIT": 60_000,
    # Two hundred trees for each window, by scikit-learn.
    "workbench.datasets.bike_baselines.gradient_boosting": bike_baselines.ridge,
    "workbench.torchkit.adversarial.JUDGED": 30,
    "workbench.projects.gans.faces.JUDGED": 30,
    "workbench.projects.recurrent_networks.tv_scripts.PIECE": 100,
    "workbench.projects.recurrent_networks.tv_scripts.COPIES": (4, 6),
    "workbench.projects.convolutional_networks._dog_or_person.TRAINED": 40,
    "workbench.projects.convolutional_networks._dog_or_person.HELD_OUT": 20,
}
"""Numbers of examples, and what else takes long beside the networks, by the name that holds them."""
WORDS = 9_500
"""Different words of a text: more than any recipe's clusters end at."""

BIKES = "instant,dteday,season,yr,mnth,hr,holiday,weekday,workingday,weathersit,temp,atemp,hum,windspeed,casual,registered,cnt"
BREEDS = ("Affenpinscher", "Basenji", "Beagle", "Bedlington_terrier")
"""Breeds of dogs that ImageNet has, too."""
CIFAR = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


# -- formats --------------------------------------------------------------------------------------------------------------------------


def idx(random: np.random.Generator, *shape: int, most: int = 256) -> bytes:
    """A gzipped idx file of bytes."""
    header = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes()
    return gzip.compress(header + random.integers(0, most, shape, np.uint8).tobytes(), 1)


def picture(random: np.random.Generator, width: int, height: int, kind: str = "JPEG") -> bytes:
    """A picture of a few coloured squares: noise alone would make large files."""
    small = Image.fromarray(random.integers(0, 256, (4, 4, 3), np.uint8))
    file = io.BytesIO()
    small.resize((width, height), Image.Resampling.NEAREST).save(file, kind)
    return file.getvalue()


def archive(members: dict[str, bytes]) -> bytes:
    """A .tar.gz of files."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return file.getvalue()


def table(header: list[str], rows: list[list[Any]]) -> bytes:
    """A CSV file."""
    return "\n".join(",".join(map(str, row)) for row in [header, *rows] if row).encode() + b"\n"


def weights(name: str, only: str = "") -> bytes:
    """A state_dict of torchvision's network, its numbers drawn once for each output; only the parameters that begin with `only`."""
    from torchvision import models

    with torch.device("meta"):
        wanted = getattr(models, name)(weights=None).state_dict()
    random, saved = torch.Generator().manual_seed(0), {}
    for key, tensor in wanted.items():
        if not key.startswith(only):
            continue
        if key.endswith(("running_var", "num_batches_tracked")):
            saved[key] = torch.ones(tensor.shape, dtype=tensor.dtype)
        elif tensor.dim() > 1:
            # One number for each output and place, seen from all inputs: a view, so the file has no more than these. Behind a ReLU that
            # keeps the mean: half of a normal distribution has the mean 0.4.
            drawn = torch.randn(tensor.shape[0], 1, *tensor.shape[2:], generator=random)
            saved[key] = (drawn * 2.5 / tensor[0].numel()).expand(tensor.shape)
        else:
            saved[key] = torch.ones(tensor.shape) if key.endswith("weight") else torch.zeros(tensor.shape)
    file = io.BytesIO()
    torch.save(saved, file)
    return file.getvalue()


def sentences(random: np.random.Generator, number: int, different: int = WORDS) -> list[list[str]]:
    """Lines of ten words, the n-th word about 1/n as often as the first; every word at least once."""
    shares = 1 / np.arange(1, different + 1)
    drawn = random.choice(different, number * 10, p=shares / shares.sum())
    drawn[: min(different, number * 10)] = np.arange(min(different, number * 10))
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    names = ["".join(letters[[code // 676 % 26, code // 26 % 26, code % 26]]) for code in range(different)]
    return [[names[code] for code in line] for line in drawn.reshape(number, 10)]


# -- data sets ------------------------------------------------------------------------------------------------------------------------


def pictures_of_idx(random: np.random.Generator) -> dict[str, bytes]:
    train, test = SMALLER["workbench.datasets.mnist.TRAIN"], SMALLER["workbench.datasets.mnist.TEST"]
    return {
        "train-images": idx(random, train, 28, 28),
        "train-labels": idx(random, train, most=10),
        "test-images": idx(random, test, 28, 28),
        "test-labels": idx(random, test, most=10),
    }


def bike_hours(random: np.random.Generator) -> dict[str, bytes]:
    rows: list[list[Any]] = []
    # 250 days: the course's test and validation weeks, six windows before them, and some weeks to train on.
    for number in range(250 * 24):
        day = date(2012, 12, 31) - timedelta(days=249 - number // 24)
        weather, free = [round(value, 3) for value in random.random(4)], int(day.weekday() > 4)
        riders = int(random.integers(1, 900))
        calendar = [number + 1, day, (day.month - 1) // 3 + 1, 1, day.month, number % 24, int(random.random() < 0.05)]
        rows.append([*calendar, (day.weekday() + 1) % 7, 1 - free, int(random.integers(1, 5)), *weather, 0, riders, riders])
    return {"hour": table(BIKES.split(","), rows)}


def students(random: np.random.Generator) -> dict[str, bytes]:
    numbers = zip(random.integers(0, 2, 200), random.integers(22, 81, 200) * 10, random.random(200) * 2 + 2, strict=True)
    rows = [[admit, gre, f"{gpa:.2f}", 1 + place % 4] for place, (admit, gre, gpa) in enumerate(numbers)]
    return {"students": table(["admit", "gre", "gpa", "rank"], rows)}


def points(random: np.random.Generator) -> dict[str, bytes]:
    places = random.random((100, 2))
    return {"points": table([], [[f"{x:.5f}", f"{y:.5f}", int(x + y > 1)] for x, y in places])}


def countries(random: np.random.Generator) -> dict[str, bytes]:
    rows = [
        [f"Country {place}", f"{55 + 20 * years:.1f}", f"{20 + 8 * bmi:.5f}"] for place, (years, bmi) in enumerate(random.random((60, 2)))
    ]
    return {"countries": table(["Country", "Life expectancy", "BMI"], rows)}


def boston(random: np.random.Generator) -> dict[str, bytes]:
    return {"houses": table([], [[*map("{:.4f}".format, row)] for row in random.random((60, 14)) + 0.1])}


def california(random: np.random.Generator) -> dict[str, bytes]:
    rows = [[*map("{:.4f}".format, row), f"{40 + row[0]:.0f}0000", "INLAND"] for row in random.random((60, 8))]
    rows[3][4] = ""
    return {"houses": table([*housing.CALIFORNIA, "median_house_value", "ocean_proximity"], rows)}


def lesions(random: np.random.Generator) -> dict[str, bytes]:
    header, names = ["Id", "task_1", "task_2"], [f"ISIC_{place:07d}" for place in range(60)]
    truth = [[name, *map(float, pair)] for name, pair in zip(names, random.integers(0, 2, (60, 2)), strict=True)]
    predictions = [[name, *(round(value, 3) for value in pair)] for name, pair in zip(names, random.random((60, 2)), strict=True)]
    return {"truth": table(header, truth), "predictions": table(header, predictions)}


def reviews(random: np.random.Generator) -> dict[str, bytes]:
    number = max(part.stop for part in SMALLER["workbench.datasets.imdb.SPLITS"].values())
    lines = [" ".join(line * 2) + " ." for line in sentences(random, number, 400)]
    labels = "\n".join(["positive", "negative"][place % 2] for place in range(number))
    return {"reviews": ("\n".join(lines) + "\n").encode(), "labels": (labels + "\n").encode()}


def wikipedia(random: np.random.Generator) -> dict[str, bytes]:
    # Two parts of lines with spaces around, among them headings and empty ones, as the file has them.
    lines = [" " + " ".join(line) + " " for line in sentences(random, 400, 200)]
    parts = {"valid": lines[:200], "test": lines[200:]}
    return {name: "\n \n = Heading = \n".join(part).encode() for name, part in parts.items()}


def word_tests(random: np.random.Generator) -> dict[str, bytes]:
    names = [line[0] for line in sentences(random, 40, 40)]
    questions = "\n".join(" ".join(names[place : place + 4]) for place in range(30))
    ratings = "\n".join(f"{one}\t{other}\t{random.random() * 10:.2f}" for one, other in pairwise(names))
    return {"questions": f": made\n{questions}\n".encode(), "similarity": f"# made\n{ratings}\n".encode()}


def novel(random: np.random.Generator) -> dict[str, bytes]:
    return {"text": "\n".join(f"Anna {' '.join(line)}." for line in sentences(random, 800, 300)).encode()}


def scripts(random: np.random.Generator, speakers: tuple[str, ...]) -> dict[str, bytes]:
    # 60,000 words: twelve of the blocks of 5,000, of which every tenth is held out.
    lines = [f"{speakers[place % len(speakers)]}: {' '.join(line)}." for place, line in enumerate(sentences(random, 4_600))]
    return {"text": ("notice " * 12 + "\n\n" + "\n\n".join(lines)).encode()}


def rows_of_letters(random: np.random.Generator) -> dict[str, bytes]:
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    rows = ["".join(random.choice(letters, int(random.integers(1, 8)))) for _ in range(400)]
    return {"sources": "\n".join(rows).encode() + b"\n", "targets": "\n".join("".join(sorted(row)) for row in rows).encode() + b"\n"}


def pairs_of_sentences(random: np.random.Generator, number: int) -> list[tuple[str, str]]:
    """English and French lines of 2 to 10 words; each English word has one French word, which is longer by a letter."""
    lines = [line[: 2 + place % 9] for place, line in enumerate(sentences(random, number, 300))]
    return [(f"{' '.join(line)}.".capitalize(), f"{' '.join(f'{word}é' for word in line)} !".capitalize()) for line in lines]


def multi30k(random: np.random.Generator) -> dict[str, bytes]:
    files = {}
    for part, number in (("train", 300), ("valid", 12), ("test", 12)):
        for language, lines in zip(("english", "french"), zip(*pairs_of_sentences(random, number), strict=True), strict=True):
            files[f"{part}-{language}"] = gzip.compress("\n".join(lines).encode() + b"\n", 1)
    return files


def tatoeba(random: np.random.Generator) -> dict[str, bytes]:
    lines = [f"{english}\t{french}" for english, french in pairs_of_sentences(random, 400)]
    # A second translation for some.
    lines += [f"{line[:-1]}." for line in lines[:50]]
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("fra.txt", "\n".join(lines) + "\n")
    return {"pairs": file.getvalue()}


def captioned(random: np.random.Generator) -> dict[str, bytes]:
    """Photographs with five captions each, and one that is in no part."""
    names = [f"{place:03d}.jpg" for place in range(41)]
    parts = {"train": names[:24], "valid": names[24:32], "test": names[32:40]}
    lines = [" ".join(line[: 3 + place % 6]) for place, line in enumerate(sentences(random, 5 * len(names), 60))]
    rows = [f"{names[place // 5]}#{place % 5}\t{line.capitalize()} ." for place, line in enumerate(lines)]
    files = {part: "\n".join(chosen).encode() + b"\n" for part, chosen in parts.items()}
    members = {f"Images/{name}": picture(random, 80, 60) for name in names}
    return {"pictures": archive(members), "captions": "\n".join(rows).encode() + b"\n", **files}


def style_pictures(random: np.random.Generator) -> dict[str, bytes]:
    return {name: picture(random, 120, 96) for name in ("octopus", "space_needle", "hockney", "delaunay")}


def classes_of_pictures(random: np.random.Generator, folders: list[str], each: int, side: int, wider: int = 8) -> dict[str, bytes]:
    """So many pictures in each folder, in an archive."""
    members = {f"{folder}/{place}.jpg": picture(random, side + wider, side) for folder in folders for place in range(each)}
    return {"pictures": archive(members)}


def flowers(random: np.random.Generator) -> dict[str, bytes]:
    folders = [f"flower_data/{part}/{number}" for part in ("train", "valid", "test") for number in range(1, 6)]
    names = {str(number): f"flower {number}" for number in range(1, 103)}
    return classes_of_pictures(random, folders, 6, 72) | {"names": json.dumps(names).encode()}


def cifar(random: np.random.Generator) -> dict[str, bytes]:
    batches = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
    rows = [np.concatenate([random.integers(0, 10, (20, 1), np.uint8), random.integers(0, 256, (20, 3072), np.uint8)], 1) for _ in batches]
    members = {f"cifar-10-batches-bin/{name}": part.tobytes() for name, part in zip(batches, rows, strict=True)}
    return {"pictures": archive(members | {"cifar-10-batches-bin/batches.meta.txt": "\n".join(CIFAR).encode()})}


def house_numbers(random: np.random.Generator) -> dict[str, bytes]:
    """MATLAB's files of SVHN: pictures along the last axis, and 10 for the digit 0."""
    from scipy.io import savemat

    files = {}
    for part, number in (("train", 120), ("test", 60)):
        file = io.BytesIO()
        pixels, labels = random.integers(0, 256, (32, 32, 3, number), np.uint8), random.integers(1, 11, (number, 1), np.uint8)
        savemat(file, {"X": pixels, "y": labels}, do_compression=True)
        files[part] = file.getvalue()
    return files


def font(family: str, random: np.random.Generator) -> bytes:
    """A font in BDF, a text format, with squares of ink for the letters A to J: one row of pixels in each line, as hexadecimal digits."""
    head = f"STARTFONT 2.1\nFONT -made-{family}-medium-r-normal--64-640-72-72-c-640-iso8859-1\nSIZE 64 72 72\nFONTBOUNDINGBOX 64 64 0 0"
    properties = f'STARTPROPERTIES 5\nFAMILY_NAME "{family}"\nPIXEL_SIZE 64\nPOINT_SIZE 640\nFONT_ASCENT 64\nFONT_DESCENT 0\nENDPROPERTIES'
    lines = [head, properties, "CHARS 10"]
    for letter in "ABCDEFGHIJ":
        squares = np.random.default_rng(ord(letter)).random((8, 8)) < 0.5
        # A family of its own: some squares are others.
        squares ^= random.random((8, 8)) < 0.06
        rows = ["".join("ff" if square else "00" for square in row) for row in squares.tolist() for _ in range(8)]
        box = "SWIDTH 640 0\nDWIDTH 64 0\nBBX 64 64 0 0\nBITMAP"
        lines += [f"STARTCHAR {letter}\nENCODING {ord(letter)}\n{box}", *rows, "ENDCHAR"]
    return "\n".join([*lines, "ENDFONT", ""]).encode()


def facade(random: np.random.Generator) -> bytes:
    """A photograph left and its label map right: two rows of windows on a wall; in the photograph each label has its own colour."""
    colours = np.array(list(facades.COLOURS.values()), np.uint8)
    labels = np.full((16, 16), 1)
    labels[:2] = 0
    for top in (4, 10):
        for left in random.choice(5, 3, replace=False) * 3:
            labels[top : top + 3, left + 1 : left + 3] = 2 + int(random.integers(0, 2))
    shades = np.array([[200, 220, 240], [180, 140, 100], [40, 50, 60], [90, 40, 20]] + [[0, 0, 0]] * 8)
    photograph = (shades[labels] + random.integers(-15, 16, (16, 16, 1))).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    both = Image.fromarray(np.concatenate([photograph, colours[labels]], 1))
    both.resize((256, 128), Image.Resampling.NEAREST).save(file, "JPEG", quality=90)
    return file.getvalue()


def pairs(random: np.random.Generator) -> dict[str, bytes]:
    numbers = {"train": 24, "val": 8, "test": 8}
    members = {f"facades/{part}/{place}.jpg": facade(random) for part, count in numbers.items() for place in range(1, count + 1)}
    return {"pictures": archive(members)}


SETS: dict[str, Callable[[np.random.Generator], dict[str, bytes]]] = {
    "mnist": pictures_of_idx,
    "fashion-mnist": pictures_of_idx,
    "bike-sharing": bike_hours,
    "style-pictures": style_pictures,
    "vgg19-weights": lambda random: {"weights": weights("vgg19", "features.")},
    "squeezenet-weights": lambda random: {"weights": weights("squeezenet1_0")},
    "gradient-descent": points,
    "student-admissions": students,
    "bmi": countries,
    "imdb": reviews,
    "wikitext2:part": wikipedia,
    "word-tests": word_tests,
    "anna": novel,
    "seinfeld": partial(scripts, speakers=("jerry", "george", "elaine", "kramer")),
    "simpsons": partial(scripts, speakers=("moe_szyslak", "homer_simpson", "barney_gumble")),
    "letter-pairs": rows_of_letters,
    "multi30k": multi30k,
    "tatoeba-fr": tatoeba,
    "boston": boston,
    "california": california,
    "skin-lesions": lesions,
    "cifar10": cifar,
    "svhn": house_numbers,
    "cifar10:jpeg": partial(
        classes_of_pictures, folders=[f"cifar10/{part}/{name}" for part in ("train", "test") for name in CIFAR], each=5, side=32, wider=0
    ),
    "cats-dogs:small": partial(
        classes_of_pictures,
        folders=[f"Cat_Dog_data/{part}/{name}" for part in ("train", "test") for name in ("cat", "dog")],
        each=8,
        side=112,
    ),
    "flowers102:72px": flowers,
    "dogs:120-breeds": partial(classes_of_pictures, folders=[f"dog_breeds/breed_{number}" for number in range(5)], each=7, side=128),
    "dogs:21-breeds": partial(
        classes_of_pictures, folders=[f"dogImages/test/{number:03d}.{breed}" for number, breed in enumerate(BREEDS, 1)], each=6, side=160
    ),
    "celeba:lfw": partial(classes_of_pictures, folders=[f"lfw_faces/Person_{number}" for number in range(110)], each=1, side=64),
    "flickr8k:1000": captioned,
    "facades": pairs,
    "yosemite": partial(
        classes_of_pictures, folders=[f"summer2winter_yosemite/{part}" for part in ("trainA", "trainB", "testA", "testB")], each=12, side=64
    ),
    "mobilenet-v2-weights": lambda random: {"weights": weights("mobilenet_v2")},
    "mobilenet-v2-weights:dequantised": lambda random: {"weights": weights("mobilenet_v2")},
}
"""By `name` or `name:variant`, its files by their keys in the catalogue. What comes with a package, or has no files, needs none."""
UNPACKED: dict[str, Callable[[np.random.Generator], dict[str, bytes]]] = {
    "dogs/dogImages": lambda random: {
        f"{part}/{number:03d}.Breed_{number}/{place}.jpg": picture(random, 136, 128)
        for part in ("train", "valid", "test")
        for number in range(1, 5)
        for place in range(4 if part != "train" else 12)
    },
    "skin-lesions-pictures": lambda random: {
        f"{part}/{lesion}/{place}.jpg": picture(random, 136, 128)
        for part in ("train", "valid", "test")
        for lesion in ("melanoma", "nevus", "seborrheic_keratosis")
        for place in range(4 if part != "train" else 12)
    },
    "letters": lambda random: {f"made-{place}.bdf": font(f"Made {'ABCDE'[place]}", random) for place in range(5)},
    "celeba/pictures": lambda random: {f"{place:06d}.jpg": picture(random, 64, 64) for place in range(110)},
}
"""What a person unpacks, by its folder in the mirror."""


# -- the mirror -----------------------------------------------------------------------------------------------------------------------


def write(folder: Path) -> dict[str, catalogue.DataSet]:
    """A mirror with every set, and the catalogue with the lengths and hashes of its files."""
    sets = dict(catalogue.catalog())
    for reference, generator in SETS.items():
        name, _, variant = reference.partition(":")
        about = catalogue.find(name, variant)
        contents = generator(np.random.default_rng(0))
        files = {}
        for key, file in about.files.items():
            data = contents[key]
            path = folder / file.mirror if file.mirror else folder / "made" / f"{name}-{variant}-{key}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(lzma.compress(data, preset=0) if path.suffix == ".xz" else data)
            digest = hashlib.sha256(data).hexdigest()
            files[key] = msgspec.structs.replace(file, bytes=len(data), sha256=digest, mirror=str(path.relative_to(folder)))
        if variant:
            changed = {**sets[name].variants, variant: msgspec.structs.replace(about, files=files)}
            sets[name] = msgspec.structs.replace(sets[name], variants=changed)
        else:
            sets[name] = msgspec.structs.replace(sets[name], files=files)
    for below, generator in UNPACKED.items():
        for inside, data in generator(np.random.default_rng(0)).items():
            path = folder / below / inside
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return sets


@contextlib.contextmanager
def made_data(folder: Path, home: Path, sets: dict[str, catalogue.DataSet]) -> Iterator[None]:
    """Readers find the made sets of `folder`, as `write` returned them, and nothing else; `home` is what $DLWB_HOME is meanwhile."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.dict("os.environ", {"DLWB_MIRROR": str(folder), "DLWB_HOME": str(home)}))
        stack.enter_context(mock.patch.object(catalogue, "catalog", lambda: sets))
        for name, value in SMALLER.items():
            stack.enter_context(mock.patch(name, value))
        yield
