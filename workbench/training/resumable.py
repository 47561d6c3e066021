"""The machinery below every project: random states, state and its encoding, by which the loop saves and restores it. No torch here."""

import contextlib
import copy
import random
import types
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from workbench.problems import Problem


@runtime_checkable
class Stateful(Protocol):
    """Modules, optimizers, schedulers, scalers, and whatever else of a project has the same two methods."""

    def state_dict(self) -> Any: ...
    def load_state_dict(self, state: Any) -> Any: ...


_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, types.MethodType)


class Resumable:
    """Saves and restores a project. When an attribute was made tells its kind: `__init__` (settings), build_data (data), later (state)."""

    seed: int
    suffix: ClassVar[str] = ".npz"
    """File suffix of its checkpoints."""
    stateless: ClassVar[tuple[type, ...]] = (np.random.Generator, random.Random, types.ModuleType, type, *_FUNCTIONS)
    """Kinds of attribute that `state` leaves out: what never changes, and generators, which belong to `random_state`."""
    _base: frozenset[str] = frozenset()
    _data: dict[str, Any] = {}

    def build_data(self) -> None: ...
    def build_model(self) -> None: ...

    def build(self, doing: Callable[[str], None] = lambda what: None) -> None:
        """build_data and build_model; `doing` is told what comes next, for people who wait."""
        self.prepare()
        self.seed_all(self.seed)
        doing("reading its data")
        self.build_data()
        # Held, to be compared by identity: what is bound anew later is refused, see `state`.
        self._data = {name: value for name, value in vars(self).items() if name not in self._base}
        doing("building its network")
        self.build_model()

    # -- the device: what TorchProject replaces ------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Set threads and flags of this process; called once, before build_data."""

    def device_memory(self) -> float:
        """Peak of the memory reserved on its accelerator, in bytes; 0 on the CPU."""
        return 0.0

    def floats(self, values: list[Any]) -> list[float]:
        """Numbers that train_step returned, as floats: the one place where the loop waits for the device."""
        return [float(value) for value in values]

    def keep(self, numbers: dict[str, Any]) -> dict[str, Any]:
        """What train_step returned, as it may be held until the window closes."""
        return numbers.copy()

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[None]:
        """Around evaluate, sample and predict."""
        yield

    # -- random states ---------------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def looking(self, seed: int) -> Iterator[None]:
        """`evaluating`, with random states of its own: without them a look would change every later step of the training."""
        state = self.random_state()
        self.seed_all(seed)
        try:
            with self.evaluating():
                yield
        finally:
            self.set_random_state(state)

    def seed_all(self, seed: int) -> None:
        """Seed every global generator."""
        random.seed(seed)
        np.random.seed(seed % 2**32)  # NumPy's old global generator takes 32 bits

    def random_state(self) -> dict[str, Any]:
        """All random states: Python's, NumPy's, and of every generator found on self."""
        state = {"python": _plain(random.getstate()), "numpy": _plain(np.random.get_state(legacy=False), arrays=True)}
        for name, value in vars(self).items():
            if isinstance(value, np.random.Generator):
                state[f"self.{name}"] = _plain(value.bit_generator.state, arrays=True)
            elif isinstance(value, random.Random):
                state[f"self.{name}"] = _plain(value.getstate())
        return state

    def set_random_state(self, state: dict[str, Any]) -> None:
        """Put back what `random_state` returned."""
        random.setstate(_pythons(state["python"]))
        np.random.set_state(state["numpy"])
        for name, value in vars(self).items():
            saved = state.get(f"self.{name}")
            if saved is not None and isinstance(value, np.random.Generator):
                value.bit_generator.state = saved
            elif saved is not None and isinstance(value, random.Random):
                value.setstate(_pythons(saved))

    # -- state -----------------------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Copies of everything that training changes, found on self by kind; a mutable thing of another kind is refused by name."""
        state = {}
        for name, value in vars(self).items():
            if name in self._data:
                if value is not self._data[name]:
                    raise Problem(
                        f"self.{name} was made in build_data, whose attributes no checkpoint holds, but it was changed since.",
                        "Make it in build_model.",
                    )
            elif name not in self._base and not isinstance(value, self.stateless):
                state[name] = self._saved(name, value)
        return state

    def _saved(self, name: str, value: Any) -> Any:
        if isinstance(value, Stateful):
            return self.copied(value.state_dict())
        array = self.array_state(value)
        if array is not NotImplemented:
            return array
        try:
            return _plain(value)
        except TypeError:
            raise Problem(
                f"self.{name} is a {type(value).__name__}, which a checkpoint cannot hold, so this run could not resume exactly.",
                "Make it in build_data if it never changes; else give it state_dict and load_state_dict, or keep it in an array.",
            ) from None

    def trained_arrays(self) -> dict[str, Any]:
        """The arrays of real numbers that training changes, by name, as they are now: no copies."""
        found: dict[str, Any] = {}
        for name, value in vars(self).items():
            if name not in self._base and name not in self._data and not isinstance(value, self.stateless):
                found.update(_arrays(name, value.state_dict() if isinstance(value, Stateful) else value))
        return found

    def norm_of(self, array: Any) -> float:
        """The Euclidean norm of an array of any shape."""
        return float(np.linalg.norm(np.asarray(array, float)))

    def load_state(self, state: dict[str, Any]) -> None:
        """Write a state back in place."""
        for name, saved in state.items():
            value = getattr(self, name, None)
            if isinstance(value, Stateful):
                # A copy: optimizers go on with the very arrays that they are given.
                value.load_state_dict(copy.deepcopy(saved))
            # Checkpoints hold tuples as lists.
            elif isinstance(value, tuple):
                setattr(self, name, tuple(saved))
            else:
                setattr(self, name, self.load_array(value, saved))

    def array_state(self, value: Any) -> Any:
        """A copy of an attribute that checkpoints can hold, or NotImplemented for a kind that this class does not know."""
        return value.copy() if isinstance(value, np.ndarray) else NotImplemented

    def load_array(self, value: Any, saved: Any) -> Any:
        """Write `saved` into `value` in place where it has the same shape; returns the attribute's new value."""
        if isinstance(value, np.ndarray) and value.shape == np.shape(saved):
            # In place, since views and optimizers hold this very array.
            value[...] = saved
            return value
        return saved

    def copied(self, tree: Any) -> Any:
        """A deep copy of a state_dict that later training cannot change."""
        return copy.deepcopy(tree)

    def encode_state(self, tree: dict[str, Any]) -> bytes:
        """A tree of plain values and arrays as the bytes of a checkpoint file, without pickle."""
        from workbench.training.numpy_state import encode_npz

        return encode_npz(tree)

    def decode_state(self, data: bytes) -> dict[str, Any]:
        """The tree that `encode_state` was given."""
        from workbench.training.numpy_state import decode_npz

        return decode_npz(data)


def _arrays(name: str, tree: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _arrays(f"{name}.{key}", value)
    elif isinstance(tree, list | tuple):
        for place, value in enumerate(tree):
            yield from _arrays(f"{name}.{place}", value)
    elif isinstance(tree, np.ndarray) and np.issubdtype(tree.dtype, np.floating):
        yield name, tree


def _pythons(saved: list[Any]) -> tuple[Any, ...]:
    """The state of a random.Random, which takes tuples only."""
    version, internal, gauss = saved
    return version, tuple(internal), gauss


def _plain(value: Any, *, arrays: bool = False) -> Any:
    """A copy of plain data; TypeError for anything else. `arrays` are taken as lists, which every bit generator takes back."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        # Numbers of NumPy are plain numbers in a checkpoint.
        return value.item()
    if isinstance(value, list | tuple):
        return [_plain(item, arrays=arrays) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str | int) for key in value):
        return {key: _plain(item, arrays=arrays) for key, item in value.items()}
    if arrays and isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError
