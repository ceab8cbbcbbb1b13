"""Attention by others on this GPU: a line of JSON for each request on standard input, one for each answer on standard output.

A request names a contender, a case and how often to run it; the answer has the milliseconds of each run by the GPU's clock,
or why it does not take part.
"""

import json
import sys

try:
    import torch
    import torch.nn.functional as F
    from torch.nn.attention import SDPBackend, sdpa_kernel
except ImportError:
    torch = None


def tensors(case):
    """q, k, v and the cotangent of the result, [B, H, S, D]; normal, by a fixed seed."""
    g = torch.Generator(device="cuda").manual_seed(0)

    def normal(heads):
        shape = (case["B"], heads, case["S"], case["D"])
        return torch.randn(shape, generator=g, device="cuda", dtype=torch.bfloat16).requires_grad_(case["gradients"])

    return normal(case["H"]), normal(case["G"]), normal(case["G"]), normal(case["H"]).detach()


def by_sdpa(backend):
    def prepare(case):
        q, k, v, g = tensors(case)

        def forward():
            with sdpa_kernel([backend]):
                return F.scaled_dot_product_attention(q, k, v, is_causal=case["causal"], enable_gqa=case["G"] < case["H"])

        return forward, (q, k, v), g

    return prepare


def by_flex(case):
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    q, k, v, g = tensors(case)
    compiled = torch.compile(flex_attention, dynamic=False)
    mask = create_block_mask(lambda b, h, i, j: i >= j, None, None, case["S"], case["S"]) if case["causal"] else None
    score = (lambda s, b, h, i, j: 30.0 * torch.tanh(s / 30.0)) if case["softcap"] else None
    grouped = case["G"] < case["H"]
    return lambda: compiled(q, k, v, score_mod=score, block_mask=mask, enable_gqa=grouped), (q, k, v), g


def timed(forward, inputs, g, case, repeat):
    def once():
        out = forward()
        if case["gradients"]:
            torch.autograd.grad(out, inputs, g)

    for _ in range(3):
        once()
    spent = []
    for _ in range(repeat):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        once()
        end.record()
        torch.cuda.synchronize()
        spent.append(begin.elapsed_time(end))
    return spent


def by_jax(case, repeat):
    """jax.nn.dot_product_attention as XLA compiles it: by the host's clock, of several calls at a time."""
    import time

    import jax
    import jax.numpy as jnp

    if not any(d.platform == "gpu" for d in jax.devices()):
        raise RuntimeError("JAX sees no GPU")
    keys = jax.random.split(jax.random.key(0), 4)
    make = lambda key, heads: jax.random.normal(key, (case["B"], case["S"], heads, case["D"]), jnp.bfloat16)
    q, k, v, g = make(keys[0], case["H"]), make(keys[1], case["G"]), make(keys[2], case["G"]), make(keys[3], case["H"])
    attend = lambda q, k, v: jax.nn.dot_product_attention(q, k, v, is_causal=case["causal"], implementation="xla")
    run = jax.jit(lambda q, k, v, g: jax.vjp(attend, q, k, v)[1](g) if case["gradients"] else attend(q, k, v))
    jax.block_until_ready(run(q, k, v, g))
    spent = []
    for _ in range(repeat):
        began = time.perf_counter()
        jax.block_until_ready([run(q, k, v, g) for _ in range(4)])
        spent.append((time.perf_counter() - began) * 1000 / 4)
    return spent


def answer(request):
    case, name, repeat = request["case"], request["contender"], request["repeat"]
    if name == "jax":
        return {"ms": by_jax(case, repeat)}
    if torch is None:
        raise RuntimeError("there is no PyTorch")
    if not torch.cuda.is_available():
        raise RuntimeError("PyTorch sees no GPU")
    makers = {
        "flash": by_sdpa(SDPBackend.FLASH_ATTENTION),
        "cudnn": by_sdpa(SDPBackend.CUDNN_ATTENTION),
        "flex": by_flex,
    }
    if case["softcap"] and name != "flex":
        raise RuntimeError("it has no scores of one's own")
    forward, inputs, g = makers[name](case)
    return {"ms": timed(forward, inputs, g, case, repeat)}


for line in sys.stdin:
    try:
        print(json.dumps(answer(json.loads(line))), flush=True)
    except Exception as error:  # whatever it is, it is this cell's
        print(json.dumps({"why": str(error).strip().split("\n")[0]}), flush=True)
