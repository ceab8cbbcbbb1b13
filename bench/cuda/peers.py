"""Attention by others on this GPU: a line of JSON for each request on standard input, one for each answer on standard output.

A request names a contender, a case and how often to run it; the answer has the milliseconds of each run by the GPU's clock,
or why it does not take part.
"""

import json
import os
import sys

# The GPU's memory is for all contenders, and for Gyre.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


def scaled_dot_product(torch, backend):
    """torch.nn.functional.scaled_dot_product_attention, by the backend of that name."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    chosen = getattr(SDPBackend, backend)

    def attend(case, q, k, v):
        with sdpa_kernel([chosen]):
            return torch.nn.functional.scaled_dot_product_attention(
                q, k, v, is_causal=case["causal"], enable_gqa=case["G"] < case["H"]
            )

    return attend


def flex(torch, case):
    """FlexAttention, compiled for this case: its mask skips blocks, its score is part of the kernel."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    # For each shape, mask and score there is a kernel; with too many it would no longer compile.
    torch.compiler.reset()
    compiled = torch.compile(flex_attention, dynamic=False)
    mask = create_block_mask(lambda b, h, i, j: i >= j, None, None, case["S"], case["S"]) if case["causal"] else None
    score = (lambda s, b, h, i, j: 30.0 * torch.tanh(s / 30.0)) if case["softcap"] else None
    return lambda case, q, k, v: compiled(q, k, v, score_mod=score, block_mask=mask, enable_gqa=case["G"] < case["H"])


def by_torch(name, case):
    """A function that runs the case so many times, and gives the milliseconds of each."""
    try:
        import torch
    except ImportError:
        raise RuntimeError("there is no PyTorch")
    if not torch.cuda.is_available():
        raise RuntimeError("PyTorch sees no GPU")
    if case["softcap"] and name != "flex":
        raise RuntimeError("it has no scores of one's own")
    backends = {"flash": "FLASH_ATTENTION", "cudnn": "CUDNN_ATTENTION"}
    attend = flex(torch, case) if name == "flex" else scaled_dot_product(torch, backends[name])

    # [B, H, S, D]; normal, by a fixed seed.
    torch.cuda.empty_cache()
    seed = torch.Generator(device="cuda").manual_seed(0)
    shape = lambda heads: (case["B"], heads, case["S"], case["D"])
    normal = lambda heads: torch.randn(shape(heads), generator=seed, device="cuda", dtype=torch.bfloat16)
    q, k, v, g = normal(case["H"]), normal(case["G"]), normal(case["G"]), normal(case["H"])
    inputs = [x.requires_grad_(case["gradients"]) for x in (q, k, v)]

    def once():
        out = attend(case, *inputs)
        if case["gradients"]:
            torch.autograd.grad(out, inputs, g)

    def timed():
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        once()
        end.record()
        torch.cuda.synchronize()
        return begin.elapsed_time(end)

    for _ in range(3):
        once()
    return lambda repeat: [timed() for _ in range(repeat)]


def by_jax(case):
    """jax.nn.dot_product_attention as XLA compiles it: by the host's clock, of several calls at a time."""
    import time

    try:
        import jax
        import jax.numpy as jnp
    except ImportError:
        raise RuntimeError("there is no JAX")
    if not any(d.platform == "gpu" for d in jax.devices()):
        raise RuntimeError("JAX sees no GPU")
    if case["softcap"]:
        raise RuntimeError("it has no scores of one's own")
    keys = jax.random.split(jax.random.key(0), 4)
    make = lambda key, heads: jax.random.normal(key, (case["B"], case["S"], heads, case["D"]), jnp.bfloat16)
    q, k, v, g = make(keys[0], case["H"]), make(keys[1], case["G"]), make(keys[2], case["G"]), make(keys[3], case["H"])
    attend = lambda q, k, v: jax.nn.dot_product_attention(q, k, v, is_causal=case["causal"], implementation="xla")
    run = jax.jit(lambda q, k, v, g: jax.vjp(attend, q, k, v)[1](g) if case["gradients"] else attend(q, k, v))
    jax.block_until_ready(run(q, k, v, g))

    def timed():
        began = time.perf_counter()
        jax.block_until_ready([run(q, k, v, g) for _ in range(4)])
        return (time.perf_counter() - began) * 1000 / 4

    return lambda repeat: [timed() for _ in range(repeat)]


ready = {}
ready_for = None
# What libraries print is no answer.
answers, sys.stdout = sys.stdout, sys.stderr


def answer(request):
    """The runs of a contender; what it needs is made once for each case."""
    global ready_for
    case, name = request["case"], request["contender"]
    if case != ready_for:
        ready.clear()
        ready_for = case
    if name not in ready:
        ready[name] = by_jax(case) if name == "jax" else by_torch(name, case)
    return {"ms": ready[name](request["repeat"])}


for line in sys.stdin:
    try:
        print(json.dumps(answer(json.loads(line))), file=answers, flush=True)
    except Exception as error:  # whatever it is, it is this cell's
        print(json.dumps({"why": str(error).strip().split("\n")[0] or type(error).__name__}), file=answers, flush=True)
