"""The WPMI family written from the paper, as slow as it is plain, and worlds to try it on."""

from __future__ import annotations

import numpy as np


def embeddings(rng, count, dim, cone=0.0):
    """Unit vectors; with a cone all of them share a direction, as those of CLIP do."""
    rows = rng.normal(size=(count, dim)) / np.sqrt(dim)
    rows[:, 0] += cone
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def world(name, images=641, texts=613, units=(17, 9)):
    """Images, texts, and activations of some layers."""
    rng = np.random.default_rng(len(name))
    cone = 1.5 if name == "cone" else 0.0
    some, words = embeddings(rng, images, 48, cone), embeddings(rng, texts, 48, cone)
    if name == "themed":  # images that are nearly the words themselves: p(t | x) close to 1
        some = words[rng.integers(0, 40, images)] + 0.2 * embeddings(rng, images, 48)
        some /= np.linalg.norm(some, axis=1, keepdims=True)
    layers = [
        (some @ embeddings(rng, n, 48).T + rng.normal(0, 0.05, (images, n))).astype(np.float32)
        for n in units
    ]
    return some, words, layers


def highest(activations, k):
    return np.argsort(-activations.astype(np.float64), axis=0, kind="stable")[:k].T


def log_normalisers(images, texts, a):
    logits = a * (images.astype(np.float64) @ texts.T.astype(np.float64))
    top = logits.max(1)
    return top + np.log(np.exp(logits - top[:, None]).sum(1))


def probabilities(images, texts, a, logs):
    return np.exp(a * (images.astype(np.float64) @ texts.T.astype(np.float64)) - logs[:, None])


def evidence(similarity, p, dtype=np.float64):
    """Σ over the rows of p `[set, top_k, text]`, in the given precision."""
    p, k = p.astype(dtype), p.shape[1]
    if similarity.name == "wpmi":
        return np.log(p + dtype(similarity.min_prob)).sum(1)
    member = (0.998 - 0.028 * np.arange(k) / k).astype(dtype)[:, None]
    return np.log(1 + member * (p - 1) + dtype(similarity.min_prob)).sum(1)


def oracle(similarity, activations, images, texts, dtype=np.float64):
    """Scores and log p(t)."""
    logs = log_normalisers(images, texts, similarity.a)
    p = probabilities(images, texts, similarity.a, logs)
    k = similarity.top_k
    first = np.concatenate(
        [evidence(similarity, p[own][None], dtype) for own in highest(activations, k)]
    )
    if similarity.prior == "probe":
        mean = np.broadcast_to(p.mean(0), (1, k, len(texts)))
        prior = evidence(similarity, mean, dtype)[0]
    else:
        top = first.max(0)
        prior = top + np.log(np.exp(first - top).mean(0))
    return first - dtype(similarity.lam) * prior, prior
