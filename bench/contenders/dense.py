"""The workloads in numpy: a line of JSON for each request on standard input, one for each answer on standard output.

The first request says what the problem is and in which folder the inputs lie, as NAME.f32; then "run" answers with the
milliseconds of one run, by the clock and of all processors, and "write" puts the results into the folder.
"""

import json
import sys
import time

import numpy as np

request = json.loads(sys.stdin.readline())
problem, folder = request["problem"], request["folder"]
arrays = {name: np.fromfile(f"{folder}/{name}.f32", np.float32).reshape(shape) for name, shape in request["shapes"].items()}
kind = problem["kind"]


def by_head(x):
    """[S, H, D] to a contiguous [H, S, D]."""
    return np.ascontiguousarray(x.transpose(1, 0, 2))


def mask_bias():
    """0 where a query sees a key, -inf elsewhere; None where it sees all."""
    if problem["mask"] == "full":
        return None
    back = np.arange(problem["length"])[:, None] - np.arange(problem["length"])[None, :]
    seen = back >= 0
    if problem["mask"] == "window":
        seen &= back < request["window"]
    return np.where(seen, np.float32(0), np.float32(-np.inf))


def softmax(s):
    s -= s.max(axis=-1, keepdims=True)
    np.exp(s, out=s)
    s /= s.sum(axis=-1, keepdims=True)
    return s


def attend(q, k, v, bias):
    """q, k and v by head; k and v are repeated for groups of heads beforehand."""
    s = q @ k.transpose(0, 2, 1)
    s *= np.float32(q.shape[-1] ** -0.5)
    if bias is not None:
        s += bias
    p = softmax(s)
    return p @ v, p


def feed(x, w1, w3, w2):
    gate = x @ w1
    gate /= 1 + np.exp(-gate)
    gate *= x @ w3
    return gate @ w2


def norm(x, weight):
    return x * (1 / np.sqrt((x * x).mean(axis=-1, keepdims=True) + np.float32(1e-6))) * weight


def prepare():
    if kind in ("attention", "gradients"):
        repeat = problem["heads"] // problem["keyHeads"]
        q, k, v = by_head(arrays["q"]), by_head(arrays["k"]), by_head(arrays["v"])
        k, v = np.repeat(k, repeat, axis=0), np.repeat(v, repeat, axis=0)
        bias = mask_bias()
        if kind == "attention":
            return lambda: {"out": attend(q, k, v, bias)[0]}
        g = by_head(arrays["d_out"])

        def gradients():
            out, p = attend(q, k, v, bias)
            dv = p.transpose(0, 2, 1) @ g
            ds = g @ v.transpose(0, 2, 1)
            ds -= (g * out).sum(axis=-1, keepdims=True)
            ds *= p
            ds *= np.float32(q.shape[-1] ** -0.5)
            return {"out": out, "dq": ds @ k, "dk": ds.transpose(0, 2, 1) @ q, "dv": dv}

        return gradients
    if kind == "matmul":
        return lambda: {"out": arrays["a"] @ arrays["b"]}
    if kind == "feedforward":
        return lambda: {"out": feed(arrays["x"], arrays["w1"], arrays["w3"], arrays["w2"])}
    if kind == "block":
        length, heads, depth = problem["length"], problem["heads"], problem["depth"]
        bias = np.where(np.tri(length, dtype=bool), np.float32(0), np.float32(-np.inf))
        angle = np.arange(length)[:, None] * 10000.0 ** (-2 * np.arange(depth // 2) / depth)
        cos, sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)

        def rotary(x):
            a, b = x[..., 0::2], x[..., 1::2]
            return np.stack((a * cos - b * sin, a * sin + b * cos), axis=-1).reshape(x.shape)

        def block():
            x = arrays["x"]
            n = norm(x, arrays["attention_norm"])
            q, k, v = (by_head((n @ arrays[w]).reshape(length, heads, depth)) for w in ("wq", "wk", "wv"))
            seen = attend(rotary(q), rotary(k), v, bias)[0]
            x = x + seen.transpose(1, 0, 2).reshape(length, heads * depth) @ arrays["wo"]
            return {"out": x + feed(norm(x, arrays["feedforward_norm"]), arrays["w1"], arrays["w3"], arrays["w2"])}

        return block
    return None


action = prepare()
print(json.dumps(action is not None), flush=True)
results = {}
for line in sys.stdin:
    if line.strip() == "run":
        began, busy = time.perf_counter(), time.process_time()
        results = action()
        spent = {"wall": (time.perf_counter() - began) * 1e3, "processor": (time.process_time() - busy) * 1e3}
        print(json.dumps(spent), flush=True)
    else:
        for name, x in results.items():
            (x.transpose(1, 0, 2) if x.ndim == 3 else x).astype(np.float32).tofile(f"{folder}/{name}.f32")
        print(json.dumps(list(results)), flush=True)
