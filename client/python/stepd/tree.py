# SPDX-License-Identifier: Apache-2.0
"""Parameters in any nesting: dicts, lists, tuples, named tuples and dataclasses, or any pytree of
JAX where JAX is loaded.

    stepd.tree.define(c, params, groups=[...])
    params = stepd.tree.pull(c, params)
    for batch in batches:
        params = stepd.tree.step(c, params, grad(params, batch))

A leaf's tensor is called by the way to it: ``params["dense"][0].w`` is ``dense.0.w``. Leaves are
float32 arrays, of numpy or of JAX; what comes back is of the same kind as the leaf was.
"""
from __future__ import annotations

import copy
import dataclasses
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from stepd.arrays import Array
from stepd.client import Client
from stepd.errors import InvalidArgument

Leaves = dict[str, Any]

# ---- Without JAX -------------------------------------------------------------------------------


def _children(node: Any) -> Iterator[tuple[str, Any]]:
    """Of an inner node, by name. A mapping's are in the order of their names, which is the same in
    every worker, whoever filled it."""
    if isinstance(node, Mapping):
        yield from sorted((str(key), child) for key, child in node.items())
    elif dataclasses.is_dataclass(node):
        for field in dataclasses.fields(node):
            yield field.name, getattr(node, field.name)
    elif hasattr(node, "_fields"):
        yield from zip(node._fields, node)
    else:
        yield from ((str(i), child) for i, child in enumerate(node))


def _is_inner(node: Any) -> bool:
    return (isinstance(node, (Mapping, list, tuple)) or
            (dataclasses.is_dataclass(node) and not isinstance(node, type)))


def _flatten(node: Any, way: str, leaves: Leaves) -> None:
    if node is None:
        return
    if not _is_inner(node):
        name = way or "value"
        if name in leaves:
            raise InvalidArgument(f"two leaves of the tree are called '{name}': rename a key")
        leaves[name] = node
        return
    for name, child in _children(node):
        _flatten(child, f"{way}.{name}" if way else name, leaves)


def _rebuild(node: Any, way: str, leaves: Mapping[str, Any]) -> Any:
    """A tree as this one, of other leaves."""
    def child(name: object, of: Any) -> Any:
        return _rebuild(of, f"{way}.{name}" if way else str(name), leaves)

    if node is None:
        return None
    if not _is_inner(node):
        return leaves[way or "value"]
    if isinstance(node, Mapping):
        made = {key: child(key, of) for key, of in node.items()}
        if isinstance(node, dict):
            like = copy.copy(node)  # a defaultdict keeps its default
            like.update(made)
            return like
        return type(node)(made)  # type: ignore[call-arg]
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        return dataclasses.replace(node, **{name: child(name, of) for name, of in _children(node)})
    if hasattr(node, "_fields"):
        return type(node)(*(child(name, of) for name, of in _children(node)))
    return type(node)(child(i, of) for i, of in enumerate(node))


# ---- With JAX ----------------------------------------------------------------------------------


def _jax() -> Any:
    """JAX's tree functions where the program has loaded JAX, else None: it is never loaded here."""
    return sys.modules["jax"].tree_util if "jax" in sys.modules else None


def _key(part: Any) -> str:
    """What stands between the dots, of one step of JAX's way to a leaf."""
    for attribute in ("key", "name", "idx"):
        if hasattr(part, attribute):
            return str(getattr(part, attribute))
    return str(part)


def _leaf_like(leaf: Any, array: Array) -> Any:
    """The array as the leaf's kind of array."""
    if isinstance(leaf, np.ndarray) or "jax" not in sys.modules:
        return array
    return sys.modules["jax"].numpy.asarray(array)


def leaves(tree: Any) -> Leaves:
    """The leaves by the names of their tensors; the same in every worker."""
    jax = _jax()
    found: Leaves = {}
    if jax is None:
        _flatten(tree, "", found)
        return found
    for way, leaf in jax.tree_flatten_with_path(tree)[0]:
        name = ".".join(_key(part) for part in way) or "value"
        if name in found:
            raise InvalidArgument(f"two leaves of the tree are called '{name}': rename a key")
        found[name] = leaf
    return found


def _with(tree: Any, arrays: Mapping[str, Array]) -> Any:
    """A tree of the same structure, of these arrays."""
    old = _named(tree, "params")
    new = {name: _leaf_like(leaf, arrays[name]) for name, leaf in old.items()}
    jax = _jax()
    if jax is None:
        return _rebuild(tree, "", new)
    structure = jax.tree_structure(tree)
    return jax.tree_unflatten(structure, [new[name] for name in old])


# ---- What is for users -------------------------------------------------------------------------


def _client(client: Any) -> Client:
    if not isinstance(client, Client):
        raise TypeError(f"the first argument is a stepd.Client, and not {type(client).__name__}")
    return client


def _named(tree: Any, what: str) -> Leaves:
    """The leaves of a tree that has some."""
    found = leaves(tree)
    if not found:
        raise InvalidArgument(f"{what} is {'None' if tree is None else 'a tree without leaves'}: give "
                              "arrays, or dicts, lists, ... of them")
    return found


def _check_shapes(client: Client, found: Mapping[str, Any], what: str) -> None:
    """Each leaf must be of its tensor's shape: what comes is put in its place."""
    shapes = {tensor.name: tensor.shape for tensor in client.tensors}
    for name, leaf in found.items():
        if name in shapes and np.shape(leaf) != shapes[name]:
            raise InvalidArgument(f"leaf '{name}' of {what} has shape {np.shape(leaf)}, and the job's "
                                  f"tensor '{name}' has {shapes[name]}")


def _arrays(tree: Any, what: str) -> dict[str, Array]:
    """The leaves as numpy sees them; where they lie, as far as that can be."""
    return {name: leaf if isinstance(leaf, np.ndarray) else np.asarray(leaf)
            for name, leaf in _named(tree, what).items()}


def _same(params: Any, grads: Any) -> dict[str, Array]:
    arrays = _arrays(grads, "grads")
    missing = _named(params, "params").keys() ^ arrays.keys()
    if missing:
        raise InvalidArgument(f"params and grads have other leaves: '{min(missing)}' is in one of "
                              "them alone")
    return arrays


def define(client: Client, params: Any, **job: Any) -> None:
    """:meth:`Client.define` of a tree's leaves, with the rest of its arguments."""
    _client(client).define(_arrays(params, "params"), **job)


def pull(client: Client, params: Any, **options: Any) -> Any:
    """A tree of the same structure as ``params``, of the server's weights. options:
    :meth:`Client.pull`'s. :class:`InvalidArgument`: a leaf is not of its tensor's shape."""
    found = _named(params, "params")
    _check_shapes(_client(client), found, "params")
    return _with(params, client.pull(list(found), **options))


def step(client: Client, params: Any, grads: Any, **options: Any) -> Any:
    """:meth:`Client.step` for a tree: sends ``grads``, and returns a tree of the same structure as
    ``params``, of the weights that came of it. The leaves of ``params`` are left as they are.

    options: :meth:`Client.step`'s, such as ``examples`` and ``loss``.
    """
    arrays = _same(params, grads)
    _check_shapes(_client(client), leaves(params), "params")
    return _with(params, client.step(arrays, **options).weights)
