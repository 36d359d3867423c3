"""A pretended device: tensors that say they are there, and are computed on the CPU.

Worlds and policies made for it step as they do on a GPU. An operation on tensors of two devices is an error, and
whoever makes the host wait for a value is noted.

This changes torch for good: import it first, in a process of its own.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from studyhall.envs import arguments

_setup_privateuseone_for_python_backend("pretended")

DEVICE, HOST = torch.device("pretended:0"), torch.device("cpu")

aten = torch.ops.aten
_WAITED_FOR = {
    aten._local_scalar_dense.default,
    aten.equal.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten.bincount.default,
    aten.repeat_interleave.Tensor,
    aten._unique2.default,
    aten.unique_dim.default,
    aten.unique_consecutive.default,
}
"""Operations whose result, or its size, the host has to know."""
_INDEXED = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default}
"""Those too where a mask is among the indices."""
_COPIES = {aten._to_copy.default, aten.copy_.default}
"""What may take tensors of two devices."""

looks: Counter[str] = Counter()
"""How often the host waited for a value, by the function of studyhall that did."""


class Pretended(torch.Tensor):
    """A tensor there; what it is computed with is ``held``."""

    held: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: torch.Tensor, requires_grad: bool = False) -> Pretended:
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            held.stride(),
            held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
            requires_grad=requires_grad,
        )
        made.held = held
        return made

    def untyped_storage(self) -> torch.UntypedStorage:
        return self.held.untyped_storage()

    def tolist(self) -> Any:
        _note()
        return self.held.tolist()

    @classmethod
    def __torch_dispatch__(cls, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(operation, args, kwargs or {})


class _There(TorchDispatchMode):
    """Makes tensors there where a device is asked for."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:  # nothing here is compiled, and asking takes time
        return False

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(operation, args, kwargs or {})


def _computed(operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The result of an operation, there if it is of tensors there or asks for that device."""
    own: dict[int, Pretended] = {}
    elsewhere = False

    def held(value: Any) -> Any:
        nonlocal elsewhere
        if isinstance(value, Pretended):
            own[id(value.held)] = value
            return value.held
        if isinstance(value, torch.Tensor):
            elsewhere |= value.dim() > 0
            return value
        return type(value)(map(held, value)) if type(value) in (list, tuple) else value

    given = held(args)
    others = {name: held(value) for name, value in kwargs.items()}
    device = others.get("device")
    to = None if device is None else torch.device(device).type
    if to == DEVICE.type:
        others["device"] = HOST
    elif not own:
        return operation(*args, **kwargs)
    if operation in _COPIES:
        back = to == HOST.type or (operation is aten.copy_.default and not isinstance(args[0], Pretended))
        if back:
            _note()
            found = operation(*given, **others)
            return args[0] if operation is aten.copy_.default else found
    elif elsewhere:
        raise RuntimeError(f"{operation} of tensors on two devices")
    elif operation in _WAITED_FOR or (
        operation in _INDEXED and any(i is not None and i.dtype == torch.bool for i in given[1])
    ):
        _note()

    def wrapped(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return own[id(value)] if id(value) in own else Pretended(value)
        return type(value)(map(wrapped, value)) if type(value) in (list, tuple) else value

    return wrapped(operation(*given, **others))


def _note() -> None:
    """Count a look of the function of studyhall that is nearest to it."""
    frame = sys._getframe(2)
    while not frame.f_globals["__name__"].startswith("studyhall."):
        if frame.f_back is None:
            looks["elsewhere"] += 1
            return
        frame = frame.f_back
    looks[f"{frame.f_globals['__name__'].removeprefix('studyhall.')}.{frame.f_code.co_name}"] += 1


def _carried(make: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """A function that makes tensors of host values, which torch would carry there by itself."""

    def made(*args: Any, device: Any = None, **options: Any) -> torch.Tensor:
        value = make(*args, **options)
        return value if device is None else value.to(device)

    return made


_find_device = arguments.find_device
# Before anybody imports them by name.
arguments.find_device = lambda device: DEVICE if str(device).startswith(DEVICE.type) else _find_device(device)
torch.tensor, torch.as_tensor = map(_carried, (torch.tensor, torch.as_tensor))


@contextmanager
def there() -> Iterator[Counter[str]]:
    """Within it tensors can be made there; what is noted meanwhile, by the function of studyhall that waited."""
    looks.clear()
    with _There():
        yield looks


def stepped(world: Any, policy: Any, twin: tuple[Any, Any], steps: int) -> Counter[str]:
    """Make so many steps, through the ends of episodes, beside the same on the CPU.

    Args:
        world: There.
        policy: Bound to it.
        twin: The same two on the CPU.
        steps: How many; the first, which makes what is made once, is not looked at.

    Returns:
        How often the host waited for a value, by function.

    Raises:
        AssertionError: Something that is handed out is elsewhere, or is not what it is on the CPU.
    """
    rewards = []
    for own, acting in ((world, policy), twin):
        with there() as found:
            obs = own.reset(seed=0)
            acting.reset()
            for step in range(steps):
                if step == 1:
                    found.clear()
                done = own.step(acting.act(obs))
                obs = done.obs
                for key, value in [*obs.items(), ("reward", done.reward), *done.final_obs.items()]:
                    assert value.device == own.device, f"{key} is on {value.device}"
                ended = done.terminated | done.truncated
                if step + 1 == own.horizon:  # the host knows
                    acting.end(done.final_obs, ended)
                    acting.reset(ended)
                rewards.append(getattr(done.reward, "held", done.reward))
            if own is world:
                looked = Counter(found)
    for step in range(steps):
        one, other = rewards[step], rewards[steps + step]
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-4, equal_nan=True), (
            f"step {step}: {one} and {other}"
        )
    return looked
