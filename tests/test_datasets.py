"""Archives that try to escape, and strict readers."""

import gzip
import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from workbench.datasets import bike_sharing, digits, images, mnist
from workbench.datasets.store import archive, catalog
from workbench.problems import Problem


def tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as made:
        for member, content in members:
            member.size = len(content) if member.isreg() else 0
            made.addfile(member, io.BytesIO(content))
    return out.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def zipped(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members:
            made.writestr(name, content)
    return out.getvalue()


def zipped_link() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        made.writestr(info, "/etc/passwd")
    return out.getvalue()


def zipped_with(place: int, value: bytes) -> bytes:
    """A zip with a byte changed at that place of the local header, and at the same field of the central one, two bytes later there."""
    content = bytearray(zipped(("a", b"x")))
    central = content.rindex(b"PK\x01\x02")
    content[place : place + 1] = content[central + place + 2 : central + place + 3] = value
    return bytes(content)


LIMITS = catalog.Unpack(members=4, bytes=10_000)


def unpack(tmp_path: Path, content: bytes) -> Path:
    file = tmp_path / "made.archive"
    file.write_bytes(content)
    return archive.unpacked(file, tmp_path / "to", hashlib.sha256(content).hexdigest(), LIMITS)


@pytest.mark.parametrize(
    "content",
    [
        tar((member("a", tarfile.DIRTYPE), b""), (member("a/b.txt"), b"here")),
        zipped(("a/", b""), ("a/b.txt", b"here")),
    ],
    ids=["tar", "zip"],
)
def test_a_good_archive_is_unpacked_once(tmp_path: Path, content: bytes) -> None:
    folder = unpack(tmp_path, content)
    assert (folder / "a" / "b.txt").read_bytes() == b"here"
    (folder / "a" / "b.txt").write_bytes(b"kept")
    assert unpack(tmp_path, content) == folder
    assert (folder / "a" / "b.txt").read_bytes() == b"kept"
    assert [path.name for path in (tmp_path / "to").iterdir()] == [folder.name]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (tar((member("../out.txt"), b"x")), "outside its folder"),
        (tar((member("a/../../out.txt"), b"x")), "outside its folder"),
        (tar((member("link", tarfile.SYMTYPE, "/etc"), b"")), "neither a file nor a folder"),
        (tar((member("link", tarfile.LNKTYPE, "/etc/passwd"), b"")), "neither a file nor a folder"),
        (tar((member("pipe", tarfile.FIFOTYPE), b"")), "neither a file nor a folder"),
        (tar((member("bomb"), bytes(10_001))), "holds more than"),
        (tar(*((member(str(number)), b"") for number in range(5))), "holds more than"),
        (tar((member("a"), b"1"), (member("a"), b"2")), "twice"),
        (tar((member("a"), bytes(range(256)) * 30))[:-200], "damaged"),
        (zipped(("../out.txt", b"x")), "outside its folder"),
        (zipped(("bomb", bytes(10_001))), "holds more than"),
        (zipped_link(), "neither a file nor a folder"),
        (zipped(("a", b"x"))[:-30], "damaged"),
        (b"no archive at all", "damaged"),
        (tar((member("a"), b"1"), (member("a/b"), b"2")), "'a/b' that would be a file and a folder at once"),
        (tar((member("a/b"), b"1"), (member("a"), b"2")), "'a' that would be a file and a folder at once"),
        (tar((member("a"), b"1"), (member("a", tarfile.DIRTYPE), b"")), "a file and a folder at once"),
        (tar((member("a/b/c"), b"1"), (member("./a/b"), b"2")), "a file and a folder at once"),
        (tar((member("./a"), b"1"), (member("a"), b"2")), "twice"),
        (tar((member("n" * 300), b"1")), "n…, whose name is too long for a file"),
        (tar((member("d/" + "é" * 128), b"1")), "whose name is too long for a file"),
        (tar((member("d" * 300 + "/a"), b"1")), "whose name is too long for a file"),
        (tar((member("/".join(["d" * 100] * 30)), b"1")), "whose name is too long for a file"),
        (tar((member("\x1b]0;evil\x07/../x"), b"1")), "outside its folder"),
        (zipped(("a", b"1"), ("a/b", b"2")), "a file and a folder at once"),
        (zipped(("a/b", b"1"), ("a", b"2")), "a file and a folder at once"),
        (zipped(("n" * 300, b"1")), "whose name is too long for a file"),
        (zipped_with(6, b"\x01"), "damaged"),  # it has a password
        (zipped_with(8, b"\x63"), "damaged"),  # packed in a way that nobody knows
    ],
    ids=lambda value: "" if isinstance(value, bytes) else None,
)
def test_a_bad_archive_leaves_nothing(tmp_path: Path, content: bytes, says: str) -> None:
    with pytest.raises(Problem, match=says):
        unpack(tmp_path, content)
    assert list((tmp_path / "to").iterdir()) == []
    assert not (tmp_path / "out.txt").exists()


def test_times_owners_and_modes_of_an_archive_are_not_taken_over(tmp_path: Path) -> None:
    folder, file = member("d", tarfile.DIRTYPE), member("d/a")
    folder.mode = file.mode = 0
    file.mtime, file.uid = 1e30, 10**9  # type: ignore[assignment]
    path = unpack(tmp_path, tar((folder, b""), (file, b"x"))) / "d" / "a"
    assert path.read_bytes() == b"x" and path.stat().st_uid == tmp_path.stat().st_uid
    assert path.stat().st_mode & 0o600 == 0o600 and path.parent.stat().st_mode & 0o700 == 0o700


def test_an_absolute_name_is_refused(tmp_path: Path) -> None:
    outside = tmp_path / "out.txt"
    for content in (tar((member(str(outside)), b"x")), zipped((str(outside), b"x"))):
        with pytest.raises(Problem, match="outside its folder"):
            unpack(tmp_path, content)
        assert not outside.exists()


def idx(*shape: int, values: bytes | None = None, kind: int = 8) -> bytes:
    header = bytes([0, 0, kind, len(shape)]) + np.array(shape, ">u4").tobytes()
    return header + (bytes(int(np.prod(shape))) if values is None else values)


def test_idx_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "it.gz"
    file.write_bytes(gzip.compress(idx(2, 3, values=bytes(range(6)))))
    assert mnist.read_idx(file, (2, 3)).tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (gzip.compress(idx(2, 3))[:-4], "cut short or damaged"),
        (gzip.compress(idx(2, 3))[:15], "cut short or damaged"),
        (b"", "not an idx file"),
        (b"not gzip", "cut short or damaged"),
        (gzip.compress(idx(2, 3, kind=13)), "not an idx file"),
        (gzip.compress(idx(6)), "not an idx file"),
        (gzip.compress(idx(3, 2)), r"shape \(3, 2\)"),
        (gzip.compress(idx(2, 3, values=bytes(5))), "fewer values"),
        (gzip.compress(idx(2, 3, values=bytes(10_000_000))), "more values"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else None,
)
def test_a_bad_idx_file_gives_one_sentence(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "it.gz"
    file.write_bytes(content)
    with pytest.raises(Problem, match=says) as caught:
        mnist.read_idx(file, (2, 3))
    assert file.name in caught.value.message and caught.value.cause == "data"


def test_digits_are_split_without_overlap() -> None:
    data = digits.read()
    assert [len(part) for part in (data.train, data.valid, data.test)] == [1078, 359, 360]
    together = np.concatenate([part.images for part in (data.train, data.valid, data.test)])
    assert together.shape == (1797, 1, 8, 8) and together.dtype == np.float32
    assert (together.min(), together.max()) == (0, 1)
    assert len(np.unique(together.reshape(1797, -1), axis=0)) == 1797
    assert min(np.bincount(data.test.labels)) > 20
    assert np.array_equal(data.train.images, digits.read().train.images)


def test_mnist_is_what_the_course_trains_on(mirror: Path) -> None:
    data = images.read("mnist")
    assert [len(part) for part in (data.train, data.valid, data.test)] == [48_000, 12_000, 10_000]
    both = np.concatenate([data.train.labels, data.valid.labels])
    assert np.bincount(both).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert data.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    mean = np.concatenate([data.train.images, data.valid.images]).mean()
    assert mean == pytest.approx(0.1307, abs=5e-5)
    with pytest.raises(Problem, match="no labelled pictures called 'mnits'"):
        images.read("mnits")


def test_bike_sharing_is_prepared_as_the_course_does(mirror: Path) -> None:
    data = bike_sharing.read()
    assert [hours.features.shape for hours in (data.train, data.valid, data.test)] == [(15435, 56), (1440, 56), (504, 56)]
    assert (data.mean, data.scale) == (pytest.approx(190.905, abs=5e-4), pytest.approx(182.102, abs=5e-4))
    assert data.valid.target.var() == pytest.approx(1.280, abs=5e-4)
    assert data.test.target.var() == pytest.approx(0.658, abs=5e-4)
    assert np.allclose(data.test.target[:, 0] * data.scale + data.mean, data.test.riders)
    assert data.train.features[:, 5:].sum(axis=1).tolist() == [5.0] * 15435
    assert data.test.days[-1] == 31 + 23 / 24
    assert np.array_equal(data.test.week_before[168:], data.test.riders[:-168])


HEADER = "dteday,season,yr,mnth,hr,holiday,weekday,weathersit,temp,hum,windspeed,cnt,workingday,atemp"
ROW = "2011-01-01,1,0,1,0,0,6,1,0.24,0.81,0,16,0,0.29"


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([HEADER.replace("hum,", ""), ROW], "no column 'hum'"),
        ([HEADER, ROW, ROW.replace("0.81", "wet")], "line 3: hum is 'wet', not a number"),
        ([HEADER, ROW, ROW.replace("0.81", "nan")], "line 3: hum is 'nan', not a number"),
        ([HEADER, ROW, ROW, ROW + ",1"], "line 4: 15 fields, where the first line names 14"),
        ([HEADER, ROW.replace("2011-01-01", "2011-02-30")], "line 2: dteday is '2011-02-30', not a date"),
        ([HEADER, ROW.replace("2011-01-01,1", "2011-01-01,5")], "line 2: season is 5, where 1 to 4 is expected"),
        ([HEADER, ROW], "has 1 hours, too few"),
        ([], "no column 'dteday'"),
        ([HEADER, "2011-01-01,\xff"], "line 2: byte 0xff is not UTF-8"),
    ],
)
def test_a_bad_table_names_its_line(tmp_path: Path, lines: list[str], says: str) -> None:
    file = tmp_path / "hour.csv"
    file.write_bytes("\n".join(lines).encode("latin-1"))
    with pytest.raises(Problem, match=says) as caught:
        bike_sharing.parse(file)
    assert file.name in caught.value.message and caught.value.cause == "data"
